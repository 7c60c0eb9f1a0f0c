//! `PATCH` and `DELETE` of one endpoint. The answer shows the state the change leads to, not the one before:
//! clients that wait begin to look at once.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use dedi_api::UpdateEndpointRequest;
use dedi_domain::endpoint::RunCause;
use dedi_domain::idle::TimeoutBy;
use dedi_domain::{Desired, EndpointState, Run, Timestamp};
use http::StatusCode;

use super::auth::Caller;
use super::body::Fields;
use super::display_name::check_display_name;
use super::error::ApiError;
use super::fields::{check_inactive_timeout, check_range, check_run, read_autoscaling};
use super::views;
use crate::config::ControlConfig;
use crate::shared::Shared;
use crate::store::{Actor, Change, EndpointKey, EventKind, StoreError};

/// Times a change is tried again because another one came between.
const TRIES: u32 = 32;

pub(super) async fn patch(
    shared: &Arc<Shared>,
    caller: &Caller,
    named: &str,
    fields: &Fields,
) -> Result<Response, ApiError> {
    caller.must_change()?;
    let request = read(fields)?;
    let now = shared.clock.now();
    let after = change(shared, caller, named, |before| apply(&shared.config, before, &request, now)).await?;
    Ok(Json(views::endpoint(shared, after).await?).into_response())
}

pub(super) async fn delete(shared: &Arc<Shared>, caller: &Caller, named: &str) -> Result<Response, ApiError> {
    // Whether it exists is said only to those who may see it.
    caller.must_read()?;
    caller.must_delete()?;
    let now = shared.clock.now();
    change(shared, caller, named, |before| {
        let mut after = before.clone();
        after.deleted = true;
        show(&mut after, EndpointState::Stopping, now);
        Ok(Some((after, EventKind::DeleteRequested, "deletion requested".to_owned())))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

type Changed = Option<(Desired, EventKind, String)>;

async fn change(
    shared: &Arc<Shared>,
    caller: &Caller,
    named: &str,
    mut change: impl FnMut(&Desired) -> Result<Changed, ApiError>,
) -> Result<Desired, ApiError> {
    let key = EndpointKey::parse(named).ok_or_else(|| ApiError::no_endpoint(named))?;
    let now = shared.clock.now();
    let by = Actor::from(&caller.0);
    let mut n_tries = 0;
    loop {
        n_tries += 1;
        let found = shared.store.endpoint(&caller.0.owner, &key).await;
        let before = found.map_err(|err| ApiError::of_lookup(err, named))?;
        if !caller.shows(&before) {
            return Err(ApiError::no_endpoint(named));
        }
        let done = match change(&before)? {
            None => Ok(before),
            Some((after, kind, message)) => {
                shared.store.update_endpoint(&before, Change { after, kind, message }, &by, now).await
            }
        };
        match done {
            Ok(after) => {
                shared.looks.ask().await;
                return Ok(after);
            }
            Err(StoreError::Conflict) if n_tries < TRIES => {}
            Err(err) => return Err(err.into()),
        }
    }
}

fn read(fields: &Fields) -> Result<UpdateEndpointRequest, ApiError> {
    let autoscaling = match fields.object("autoscaling")?.flatten() {
        Some(pair) => Some(read_autoscaling(&pair)?),
        None => None,
    };
    Ok(UpdateEndpointRequest {
        display_name: fields.text("display_name")?.flatten(),
        state: fields.text("state")?.flatten(),
        autoscaling,
        inactive_timeout: fields.integer("inactive_timeout")?,
        model: fields.text("model")?.flatten(),
        hardware: fields.text("hardware")?.flatten(),
    })
}

/// The endpoint after the request; `None` when nothing would be different.
fn apply(
    config: &ControlConfig,
    before: &Desired,
    request: &UpdateEndpointRequest,
    now: Timestamp,
) -> Result<Changed, ApiError> {
    let fixed = [
        ("model", &request.model, before.model.as_str()),
        ("hardware", &request.hardware, before.hardware.as_str()),
    ];
    for (name, asked, is) in fixed {
        if asked.as_deref().is_some_and(|it| it != is) {
            let message = format!("{name} can't be changed; create another one with the {name} you want");
            return Err(ApiError::field(name, message));
        }
    }
    let mut after = before.clone();
    if let Some(name) = &request.display_name {
        after.display_name = check_display_name(name)?;
    }
    if let Some(pair) = request.autoscaling {
        let min = pair.min_replicas.unwrap_or_else(|| i64::from(before.replicas.min()));
        let max = pair.max_replicas.unwrap_or_else(|| i64::from(before.replicas.max()));
        after.replicas = check_range(min, max)?;
    }
    // Here a null was meant: no client sends one for a flag that is absent.
    if let Some(minutes) = check_inactive_timeout(request.inactive_timeout, None)? {
        set_timeout(&mut after, minutes, TimeoutBy::Update, now);
    } else if after.idle.set_by == TimeoutBy::Default
        && (before.replicas.min() == 0) != (after.replicas.min() == 0)
    {
        // Nobody asked for it: it goes with what it is for.
        let minutes = config.default_timeout(after.replicas.min());
        set_timeout(&mut after, minutes, TimeoutBy::Default, now);
    }
    let mut told = None;
    if let Some(state) = &request.state {
        told = command(&mut after, check_run(state)?, now);
    }
    if after == *before {
        return Ok(None);
    }
    let (kind, message) = told.unwrap_or_else(|| (EventKind::Updated, changes(before, &after)));
    Ok(Some((after, kind, message)))
}

fn set_timeout(after: &mut Desired, minutes: Option<u32>, by: TimeoutBy, now: Timestamp) {
    after.idle = after.idle.changed(after.inactive_timeout_minutes, minutes, by, now);
    after.inactive_timeout_minutes = minutes;
}

/// Start or stop. Starting what is started and stopping what is stopped changes nothing, but starting what is
/// in ERROR tries again at once.
fn command(after: &mut Desired, run: Run, now: Timestamp) -> Option<(EventKind, String)> {
    match (run, after.run, after.published) {
        (Run::Started, Run::Started, EndpointState::Error) | (Run::Started, Run::Stopped, _) => {
            after.run = Run::Started;
            after.run_cause = RunCause::User;
            after.started_at = now;
            show(after, EndpointState::Pending, now);
            Some((EventKind::StartRequested, "start requested".to_owned()))
        }
        (Run::Stopped, Run::Started, _) => {
            after.run = Run::Stopped;
            after.run_cause = RunCause::User;
            show(after, EndpointState::Stopping, now);
            Some((EventKind::StopRequested, "stop requested".to_owned()))
        }
        (
            Run::Started,
            Run::Started,
            EndpointState::Pending
            | EndpointState::Starting
            | EndpointState::Started
            | EndpointState::Stopping
            | EndpointState::Stopped,
        )
        | (Run::Stopped, Run::Stopped, _) => None,
    }
}

/// Shows `state` at once, where that may follow. While replicas still stop, a start stays shown as STOPPING.
fn show(after: &mut Desired, state: EndpointState, now: Timestamp) {
    let waits_for_the_last_run =
        after.published == EndpointState::Stopping && state == EndpointState::Pending;
    if after.published.may_become(state) && !waits_for_the_last_run {
        after.published = state;
        after.published_at = now;
    }
}

fn changes(before: &Desired, after: &Desired) -> String {
    let mut said = Vec::new();
    if before.display_name != after.display_name {
        said.push("display_name changed".to_owned());
    }
    if before.replicas != after.replicas {
        said.push(format!("replicas {} to {}", after.replicas.min(), after.replicas.max()));
    }
    // Also where only somebody asked for what was the default.
    if before.inactive_timeout_minutes != after.inactive_timeout_minutes
        || before.idle.set_by != after.idle.set_by
    {
        said.push(match after.inactive_timeout_minutes {
            Some(minutes) => format!("stops after {minutes} idle minutes"),
            None => "never stops for being idle".to_owned(),
        });
    }
    said.join(", ")
}

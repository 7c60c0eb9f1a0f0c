//! Changes an endpoint's name, bounds, timeout or run state. The answer shows the state that the change leads to, not
//! the one before.

use dedi_domain::idle::TimeoutBy;
use dedi_domain::{Desired, Run, Timestamp};

use super::start::start;
use super::stop::stop;
use super::{Described, Endpoints, rules};
use crate::config::ControlConfig;
use crate::service::caller::Caller;
use crate::service::error::ServiceError;
use crate::store::{Change, EventKind};

/// What is to change; absent values stay as they are.
#[derive(Debug, Default)]
pub(crate) struct EndpointUpdate {
    pub(crate) display_name: Option<String>,
    pub(crate) run: Option<Run>,
    /// Merged with the other bound as it is.
    pub(crate) min_replicas: Option<i64>,
    pub(crate) max_replicas: Option<i64>,
    /// Minutes; `Some(None)` is never.
    pub(crate) inactive_timeout: Option<Option<i64>>,
    /// These can't be changed; another one than the endpoint has is refused.
    pub(crate) model: Option<String>,
    pub(crate) hardware: Option<String>,
}

impl Endpoints {
    pub(crate) async fn update(
        &self,
        caller: &Caller,
        named: &str,
        update: EndpointUpdate,
    ) -> Result<Described, ServiceError> {
        caller.must_change()?;
        let after =
            self.change(caller, named, |before, now| apply(&self.config, before, &update, now)).await?;
        self.describe(after).await
    }
}

/// The endpoint after the update; `None` when nothing would be different.
fn apply(
    config: &ControlConfig,
    before: &Desired,
    update: &EndpointUpdate,
    now: Timestamp,
) -> Result<Option<Change>, ServiceError> {
    let fixed = [
        ("model", &update.model, before.model.as_str()),
        ("hardware", &update.hardware, before.hardware.as_str()),
    ];
    for (name, asked, is) in fixed {
        if asked.as_deref().is_some_and(|it| it != is) {
            let message = format!("{name} can't be changed; create another one with the {name} you want");
            return Err(ServiceError::invalid(name, message));
        }
    }
    let mut after = before.clone();
    if let Some(name) = &update.display_name {
        after.display_name = rules::display_name(name)?;
    }
    if update.min_replicas.is_some() || update.max_replicas.is_some() {
        let min = update.min_replicas.unwrap_or_else(|| i64::from(before.replicas.min()));
        let max = update.max_replicas.unwrap_or_else(|| i64::from(before.replicas.max()));
        after.replicas = rules::replica_range(min, max)?;
    }
    // Here a null was meant: no client sends one for a flag that is absent.
    if let Some(minutes) = rules::inactive_timeout(update.inactive_timeout, None)? {
        set_timeout(&mut after, minutes, TimeoutBy::Update, now);
    } else if after.idle.set_by == TimeoutBy::Default
        && (before.replicas.min() == 0) != (after.replicas.min() == 0)
    {
        // Nobody asked for it: it goes with what it is for.
        let minutes = config.default_timeout(after.replicas.min());
        set_timeout(&mut after, minutes, TimeoutBy::Default, now);
    }
    let told = match update.run {
        Some(Run::Started) => start(&mut after, now),
        Some(Run::Stopped) => stop(&mut after, now),
        None => None,
    };
    if after == *before {
        return Ok(None);
    }
    let (kind, message) = told.unwrap_or_else(|| (EventKind::Updated, changes(before, &after)));
    Ok(Some(Change { after, kind, message }))
}

fn set_timeout(after: &mut Desired, minutes: Option<u32>, by: TimeoutBy, now: Timestamp) {
    after.idle = after.idle.changed(after.inactive_timeout_minutes, minutes, by, now);
    after.inactive_timeout_minutes = minutes;
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

//! An endpoint with why it is as it is: its rows of now, and what the last pass saw of it.

use std::sync::Arc;
use std::time::Duration;

use dedi_domain::idle::outlook;
use dedi_domain::reconcile::{EndpointView, ReplicaView, World};
use dedi_domain::status::explain;
use dedi_domain::{Desired, Fetch, Reason, ReasonCode, Status, Timestamp};

use super::Endpoints;
use super::replicas::{ShownReplica, shown};
use crate::last_pass::view_of;
use crate::service::caller::Caller;
use crate::service::error::ServiceError;
use crate::store::{EndpointRows, StoreError};

/// An endpoint as it is shown.
pub(crate) struct Described {
    pub(crate) desired: Desired,
    pub(crate) status: Status,
    pub(crate) progress: Option<Progress>,
    /// When it stops for being idle.
    pub(crate) idle: String,
    /// Oldest first.
    pub(crate) replicas: Vec<ShownReplica>,
}

/// How far the way to the first ready replica is.
pub(crate) struct Progress {
    pub(crate) stage: Stage,
    pub(crate) percent: Option<u8>,
    /// Done and in all, where it is counted in bytes.
    pub(crate) bytes: Option<(u64, u64)>,
    pub(crate) elapsed_secs: u64,
    /// How long launches like this one take.
    pub(crate) expected_secs: Option<u64>,
}

#[derive(Clone, Copy)]
pub(crate) enum Stage {
    Downloading,
    Checking,
    Launching,
    Loading,
}

impl Endpoints {
    /// The caller's endpoint of that id or name.
    pub(crate) async fn get(&self, caller: &Caller, named: &str) -> Result<Described, ServiceError> {
        let desired = self.find(caller, named).await?;
        self.describe(desired).await
    }

    /// The replicas of the caller's endpoint, oldest first.
    pub(crate) async fn replicas(
        &self,
        caller: &Caller,
        named: &str,
    ) -> Result<Vec<ShownReplica>, ServiceError> {
        let desired = self.find(caller, named).await?;
        let rows = self.store.rows(desired).await?;
        let world = self.last_pass.world();
        Ok(shown(&fresh_view(rows, &world), &world))
    }

    pub(super) async fn describe(&self, desired: Desired) -> Result<Described, ServiceError> {
        let read = self.store.rows(desired.clone()).await;
        let unread = match &read {
            Err(err @ StoreError::Value(_)) => Some(err.to_string()),
            Ok(_) | Err(_) => self.last_pass.world().quarantine.why.get(&desired.id).cloned(),
        };
        let rows = match read {
            Ok(rows) => rows,
            Err(_) if unread.is_some() => {
                EndpointRows { desired, replicas: Vec::new(), failures: Vec::new() }
            }
            Err(err) => return Err(err.into()),
        };
        Ok(self.describe_rows(rows, unread).await)
    }

    /// The same from rows that were read. `unread` is why they can't be, where that is so.
    pub(super) async fn describe_rows(&self, rows: EndpointRows, unread: Option<String>) -> Described {
        let world = self.last_pass.world();
        let view = fresh_view(rows, &world);
        let mut status = explain(&view, &world);
        if let Some(why) = self.last_pass.unrecorded(view.desired.id) {
            status.reason = unrecorded(&why, &status.reason.message);
        }
        if let Some(why) = unread {
            status.reason = unobserved(&why);
        }
        let policy = self.config.policy();
        let desired = &view.desired;
        let idle = outlook(
            desired.replicas.min(),
            desired.inactive_timeout_minutes,
            desired.idle.set_by,
            policy.scale_down_delay,
        );
        Described {
            progress: self.progress(&view, &status, &world).await,
            replicas: shown(&view, &world),
            idle,
            status,
            desired: view.desired,
        }
    }

    async fn progress(&self, view: &EndpointView, status: &Status, world: &Arc<World>) -> Option<Progress> {
        if let Some(progress) = fetching(view, world.now) {
            return Some(progress);
        }
        let dedi_domain::Progress { percent, elapsed_secs } = status.progress?;
        let Desired { model, hardware, .. } = &view.desired;
        // An answer without it is worth more than none.
        let usual: Option<Duration> = self.store.usual_start(model, hardware).await.ok().flatten();
        Some(Progress {
            stage: if percent.is_some() { Stage::Loading } else { Stage::Launching },
            percent,
            bytes: None,
            elapsed_secs,
            expected_secs: usual.map(|it| it.as_secs().max(1)),
        })
    }
}

fn unrecorded(why: &str, before: &str) -> Reason {
    Reason {
        code: ReasonCode::Unrecorded,
        message: format!("dedi can't record its next step: {why}; what runs goes on. Before that: {before}"),
        next_step: Some(
            "make room on the disk or mend what is wrong with it, or end the program that locks the database; dedi goes on by itself then"
                .to_owned(),
        ),
    }
}

fn unobserved(why: &str) -> Reason {
    Reason {
        code: ReasonCode::Unobserved,
        message: format!("{why}; the state is the last known one, and nothing is started or ended"),
        next_step: Some("mend what it names on the server's host; its log says more".to_owned()),
    }
}

/// The stored rows of now, with what the last pass saw of them.
fn fresh_view(rows: EndpointRows, world: &World) -> EndpointView {
    let EndpointRows { desired, replicas, failures } = rows;
    let last = view_of(world, desired.id);
    let replicas = replicas
        .into_iter()
        .map(|row| {
            let seen = last.and_then(|it| it.replicas.iter().find(|it| it.row.id == row.id));
            ReplicaView {
                out_of_routing: seen.is_some_and(|it| it.out_of_routing),
                in_flight: seen.map_or(0, |it| it.in_flight),
                unanswered: seen.map_or(0, |it| it.unanswered),
                row,
            }
        })
        .collect();
    EndpointView {
        target: last.map_or(desired.replicas.min().max(1), |it| it.target),
        load: last.and_then(|it| it.load),
        last_activity: last.map_or(world.now, |it| it.last_activity),
        bytes_per_device: last.and_then(|it| it.bytes_per_device),
        fetch: last.and_then(|it| it.fetch.clone()),
        desired,
        replicas,
        failures,
    }
}

fn fetching(view: &EndpointView, now: Timestamp) -> Option<Progress> {
    // Until the hub has said how much it is, the message says all there is.
    let fetch = view.fetch.as_ref()?;
    let (stage, bytes_done, total, since) = match fetch {
        Fetch::Running { bytes_done, bytes_total: Some(total), since } => {
            (Stage::Downloading, bytes_done, total, since)
        }
        Fetch::Checking { bytes_done, bytes_total, since } => {
            (Stage::Checking, bytes_done, bytes_total, since)
        }
        Fetch::Running { bytes_total: None, .. }
        | Fetch::Queued { .. }
        | Fetch::HeldOff { .. }
        | Fetch::CheckQueued { .. }
        | Fetch::Failed { .. }
        | Fetch::Absent
        | Fetch::Unreadable { .. } => return None,
    };
    Some(Progress {
        stage,
        percent: fetch.percent(),
        bytes: Some((*bytes_done, *total)),
        elapsed_secs: now.since(*since).as_secs(),
        expected_secs: None,
    })
}

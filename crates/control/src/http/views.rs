//! Domain values as the wire shows them.

use dedi_api::{
    Autoscaling, DedicatedEndpoint, EndpointEvent, EndpointStatus, FailureInfo, LaunchProgress, ListEndpoint,
    ReplicaInfo,
};
use dedi_domain::failure::Failure;
use dedi_domain::idle::outlook;
use dedi_domain::reconcile::{EndpointView, ReplicaView, World, by_mark};
use dedi_domain::status::explain;
use dedi_domain::{
    Desired, EndReason, Fetch, Intent, Observation, ObservedReplica, Progress, Reason, ReasonCode,
    ReplicaPhase, Timestamp,
};

use super::error::ApiError;
use crate::clock::Clock;
use crate::reconciler::view_of;
use crate::shared::Shared;
use crate::store::{EndpointRows, EventRecord, StoreError};

/// RFC 3339, UTC, milliseconds, `Z`.
pub(crate) fn time(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

/// The endpoint object, with why it is as it is.
pub(crate) async fn endpoint(shared: &Shared, desired: Desired) -> Result<DedicatedEndpoint, ApiError> {
    let world = shared.world();
    let read = shared.store.rows(desired.clone()).await;
    let unread = match &read {
        Err(err @ StoreError::Value(_)) => Some(err.to_string()),
        Ok(_) | Err(_) => world.aside.why.get(&desired.id).cloned(),
    };
    let rows = match read {
        Ok(rows) => rows,
        Err(_) if unread.is_some() => EndpointRows { desired, replicas: Vec::new(), failures: Vec::new() },
        Err(err) => return Err(err.into()),
    };
    let view = fresh_view(rows, &world);
    let mut status = status(shared, &view, &world).await;
    if let Some(why) = unread {
        ReasonCode::Unobserved.as_str().clone_into(&mut status.reason);
        status.message = format!("{why}; the state is the last known one, and nothing is started or ended");
        status.next_step = Some("mend what it names on the server's host; its log says more".to_owned());
    }
    let replicas = replicas(&view, &world, &shared.clock);
    let desired = view.desired;
    Ok(DedicatedEndpoint {
        object: "endpoint".to_owned(),
        id: desired.id.to_string(),
        name: desired.name.to_string(),
        display_name: desired.display_name,
        model: desired.model.to_string(),
        hardware: desired.hardware.to_string(),
        kind: "dedicated".to_owned(),
        owner: desired.owner.to_string(),
        state: desired.published.to_string(),
        autoscaling: Autoscaling {
            min_replicas: desired.replicas.min(),
            max_replicas: desired.replicas.max(),
        },
        created_at: shared.clock.show(desired.created_at),
        inactive_timeout: desired.inactive_timeout_minutes,
        availability_zone: desired.availability_zone,
        disable_speculative_decoding: desired.disable_speculative_decoding,
        status: Some(status),
        replicas: Some(replicas),
    })
}

/// An item of the list.
pub(crate) fn list_item(desired: &Desired, clock: &Clock) -> ListEndpoint {
    ListEndpoint {
        object: "endpoint".to_owned(),
        id: desired.id.to_string(),
        name: desired.name.to_string(),
        model: desired.model.to_string(),
        kind: "dedicated".to_owned(),
        owner: desired.owner.to_string(),
        state: desired.published.to_string(),
        created_at: clock.show(desired.created_at),
    }
}

/// The stored rows of now, with what the last look said of them.
pub(crate) fn fresh_view(rows: EndpointRows, world: &World) -> EndpointView {
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

async fn status(shared: &Shared, view: &EndpointView, world: &World) -> EndpointStatus {
    let mut status = explain(view, world);
    if let Some(why) = shared.unrecorded(view.desired.id) {
        status.reason = Reason {
            code: ReasonCode::Unrecorded,
            message: format!(
                "dedi can't record its next step: {why}; what runs goes on. Before that: {}",
                status.reason.message
            ),
            next_step: Some(
                "make room on the disk or mend what is wrong with it, or end the program that locks the database; dedi goes on by itself then"
                    .to_owned(),
            ),
        };
    }
    let progress = match (downloading(view, world.now), status.progress) {
        (Some(progress), _) => Some(progress),
        (None, Some(progress)) => Some(launching(shared, view, progress).await),
        (None, None) => None,
    };
    EndpointStatus {
        reason: status.reason.code.to_string(),
        message: status.reason.message,
        next_step: status.reason.next_step,
        idle: outlook(
            view.desired.replicas.min(),
            view.desired.inactive_timeout_minutes,
            view.desired.idle.set_by,
            shared.config.policy().scale_down_delay,
        ),
        since: shared.clock.show(status.since),
        ready_replicas: status.n_ready,
        wanted_replicas: status.n_wanted,
        progress,
        next_retry_at: status.next_retry_at.map(|at| shared.clock.show(at)),
        first_failure: status.first_failure.as_ref().map(|it| failure(it, &shared.clock)),
        last_failure: status.last_failure.as_ref().map(|it| failure(it, &shared.clock)),
        generation: view.desired.generation,
        observed_generation: view.desired.observed_generation,
    }
}

async fn launching(shared: &Shared, view: &EndpointView, progress: Progress) -> LaunchProgress {
    let Progress { percent, elapsed_secs } = progress;
    let Desired { model, hardware, .. } = &view.desired;
    // An answer without it is worth more than none.
    let usual = shared.store.usual_start(model, hardware).await.ok().flatten();
    let expected_secs = usual.map(|it| it.as_secs().max(1));
    LaunchProgress {
        stage: if percent.is_some() { "loading" } else { "launching" }.to_owned(),
        percent,
        bytes_done: None,
        bytes_total: None,
        elapsed_secs,
        expected_secs,
        remaining_secs: expected_secs.map(|it| it.saturating_sub(elapsed_secs)),
    }
}

fn downloading(view: &EndpointView, now: Timestamp) -> Option<LaunchProgress> {
    // Until the hub has said how much it is, the message says all there is.
    let fetch = view.fetch.as_ref()?;
    let (stage, bytes_done, total, since) = match fetch {
        Fetch::Running { bytes_done, bytes_total: Some(total), since } => {
            ("downloading", bytes_done, total, since)
        }
        Fetch::Checking { bytes_done, bytes_total, since } => ("checking", bytes_done, bytes_total, since),
        Fetch::Running { bytes_total: None, .. }
        | Fetch::Queued { .. }
        | Fetch::HeldOff { .. }
        | Fetch::CheckQueued { .. }
        | Fetch::Failed { .. }
        | Fetch::Absent
        | Fetch::Unreadable { .. } => return None,
    };
    Some(LaunchProgress {
        stage: stage.to_owned(),
        percent: fetch.percent(),
        bytes_done: Some(*bytes_done),
        bytes_total: Some(*total),
        elapsed_secs: now.since(*since).as_secs(),
        expected_secs: None,
        remaining_secs: None,
    })
}

fn failure(it: &Failure, clock: &Clock) -> FailureInfo {
    let detail = if it.detail.is_empty() { String::new() } else { format!(" ({})", it.detail) };
    FailureInfo {
        attempt: it.attempt,
        reason: ReasonCode::from(it.cause).to_string(),
        message: format!("{}{detail}", it.cause.sentence()),
        at: clock.show(it.at),
    }
}

/// The replicas of an endpoint, oldest first.
pub(crate) fn replicas(view: &EndpointView, world: &World, clock: &Clock) -> Vec<ReplicaInfo> {
    let (observed, is_known): (&[ObservedReplica], bool) = match &world.observation {
        Observation::Known(observed) => (observed, !world.aside.endpoints.contains(&view.desired.id)),
        Observation::Unknown => (&[], false),
    };
    let seen = by_mark(observed);
    let mut replicas: Vec<&ReplicaView> = view.replicas.iter().collect();
    replicas.sort_by_key(|it| it.row.attempt);
    replicas
        .into_iter()
        .map(|it| {
            let process = seen.get(&(it.row.id, it.row.nonce));
            let reason = end_reason(it.row.intent);
            ReplicaInfo {
                id: it.row.id.to_string(),
                attempt: it.row.attempt,
                phase: match process {
                    None if !is_known => "unknown",
                    _ => phase(it, process.map(|it| &it.phase)),
                }
                .to_owned(),
                devices: it.row.devices.iter().map(ToString::to_string).collect(),
                reason: reason.map(|it| it.code().to_owned()),
                message: reason.map(EndReason::sentence),
                in_flight: it.in_flight,
                created_at: clock.show(it.row.reserved_at),
                ready_at: it.row.ready_at.map(|at| clock.show(at)),
            }
        })
        .collect()
}

fn end_reason(intent: Intent) -> Option<EndReason> {
    match intent {
        Intent::Run => None,
        Intent::Drain { reason, .. } | Intent::Stop { reason, .. } => Some(reason),
    }
}

fn phase(it: &ReplicaView, seen: Option<&ReplicaPhase>) -> &'static str {
    match (it.row.intent, seen) {
        (Intent::Stop { .. }, None) => "releasing",
        (Intent::Stop { .. }, Some(_)) => "stopping",
        (Intent::Drain { .. }, _) => "draining",
        (Intent::Run, None) if it.row.seen => "lost",
        (Intent::Run, None | Some(ReplicaPhase::Unstarted)) => "reserved",
        (Intent::Run, Some(ReplicaPhase::Launching { .. })) => "launching",
        (Intent::Run, Some(ReplicaPhase::Ready { .. })) => "ready",
        (Intent::Run, Some(ReplicaPhase::Unresponsive { .. })) => "unresponsive",
        (Intent::Run, Some(ReplicaPhase::Stopping)) => "stopping",
        (Intent::Run, Some(ReplicaPhase::Orphaned)) => "lost",
        (Intent::Run, Some(ReplicaPhase::Exited(_))) => "exited",
    }
}

/// An event.
pub(crate) fn event(it: EventRecord, clock: &Clock) -> EndpointEvent {
    EndpointEvent {
        id: it.id,
        at: clock.show(it.at),
        kind: it.kind,
        replica: it.replica,
        message: it.message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_exactly_three_digits_and_a_z() {
        assert_eq!(time(Timestamp(1_738_665_835_405)), "2025-02-04T10:43:55.405Z");
        assert_eq!(time(Timestamp(1_738_665_835_000)), "2025-02-04T10:43:55.000Z");
        assert_eq!(time(Timestamp(i64::MAX)), "1970-01-01T00:00:00.000Z");
    }
}

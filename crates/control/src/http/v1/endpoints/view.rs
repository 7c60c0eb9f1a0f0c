//! Endpoints as answers show them.

use dedi_api::{
    Autoscaling, DedicatedEndpoint, EndpointStatus, FailureInfo, LaunchProgress, ListEndpoint, ReplicaInfo,
};
use dedi_domain::failure::Failure;
use dedi_domain::{Desired, EndReason, Intent, ReasonCode};

use crate::clock::Clock;
use crate::service::endpoints::{Described, Progress, ReplicaState, ShownReplica, Stage};

/// The endpoint object, with why it is as it is.
pub(super) fn endpoint(it: Described, clock: &Clock) -> DedicatedEndpoint {
    let status = status(&it, clock);
    let desired = it.desired;
    DedicatedEndpoint {
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
        created_at: clock.show(desired.created_at),
        inactive_timeout: desired.inactive_timeout_minutes,
        availability_zone: desired.availability_zone,
        disable_speculative_decoding: desired.disable_speculative_decoding,
        status: Some(status),
        replicas: Some(it.replicas.into_iter().map(|it| replica(it, clock)).collect()),
    }
}

/// An item of the list.
pub(super) fn list_item(desired: &Desired, clock: &Clock) -> ListEndpoint {
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

fn status(of: &Described, clock: &Clock) -> EndpointStatus {
    let status = &of.status;
    EndpointStatus {
        reason: status.reason.code.to_string(),
        message: status.reason.message.clone(),
        next_step: status.reason.next_step.clone(),
        idle: of.idle.clone(),
        since: clock.show(status.since),
        ready_replicas: status.n_ready,
        wanted_replicas: status.n_wanted,
        progress: of.progress.as_ref().map(progress),
        next_retry_at: status.next_retry_at.map(|at| clock.show(at)),
        first_failure: status.first_failure.as_ref().map(|it| failure(it, clock)),
        last_failure: status.last_failure.as_ref().map(|it| failure(it, clock)),
        generation: of.desired.generation,
        observed_generation: of.desired.observed_generation,
    }
}

fn progress(it: &Progress) -> LaunchProgress {
    LaunchProgress {
        stage: match it.stage {
            Stage::Downloading => "downloading",
            Stage::Checking => "checking",
            Stage::Launching => "launching",
            Stage::Loading => "loading",
        }
        .to_owned(),
        percent: it.percent,
        bytes_done: it.bytes.map(|(done, _)| done),
        bytes_total: it.bytes.map(|(_, total)| total),
        elapsed_secs: it.elapsed_secs,
        expected_secs: it.expected_secs,
        remaining_secs: it.expected_secs.map(|expected| expected.saturating_sub(it.elapsed_secs)),
    }
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

pub(super) fn replica(it: ShownReplica, clock: &Clock) -> ReplicaInfo {
    let reason = end_reason(it.row.intent);
    ReplicaInfo {
        id: it.row.id.to_string(),
        attempt: it.row.attempt,
        phase: phase(it.state).to_owned(),
        devices: it.row.devices.iter().map(ToString::to_string).collect(),
        reason: reason.map(|it| it.code().to_owned()),
        message: reason.map(EndReason::sentence),
        in_flight: it.in_flight,
        created_at: clock.show(it.row.reserved_at),
        ready_at: it.row.ready_at.map(|at| clock.show(at)),
    }
}

fn end_reason(intent: Intent) -> Option<EndReason> {
    match intent {
        Intent::Run => None,
        Intent::Drain { reason, .. } | Intent::Stop { reason, .. } => Some(reason),
    }
}

fn phase(state: ReplicaState) -> &'static str {
    match state {
        ReplicaState::Unknown => "unknown",
        ReplicaState::Reserved => "reserved",
        ReplicaState::Launching => "launching",
        ReplicaState::Ready => "ready",
        ReplicaState::Unresponsive => "unresponsive",
        ReplicaState::Draining => "draining",
        ReplicaState::Stopping => "stopping",
        ReplicaState::Releasing => "releasing",
        ReplicaState::Exited => "exited",
        ReplicaState::Lost => "lost",
    }
}

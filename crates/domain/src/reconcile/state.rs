//! The state an endpoint is in by what is seen.

use super::{EndpointView, Seen, World, phase_of, wanted};
use crate::endpoint::EndpointState;
use crate::failure::{Verdict, verdict};
use crate::fetch::Fetch;
use crate::replica::{Intent, ReplicaPhase};

/// The state the endpoint is in by what is seen now.
pub(super) fn goal_state(view: &EndpointView, seen: &Seen<'_>, world: &World) -> EndpointState {
    let desired = &view.desired;
    if !desired.wants_replicas() {
        return if view.replicas.is_empty() { EndpointState::Stopped } else { EndpointState::Stopping };
    }
    if ends_last_run(view) {
        return EndpointState::Stopping;
    }
    let running: Vec<Option<&ReplicaPhase>> = view
        .replicas
        .iter()
        .filter(|it| it.row.intent == Intent::Run)
        .map(|it| phase_of(&it.row, seen))
        .collect();
    if running.iter().any(|it| matches!(it, Some(ReplicaPhase::Ready { .. }))) {
        return EndpointState::Started;
    }
    // Going to sleep: what still drains does not take it back to the queue, and what failed before it last
    // answered is no reason against sleeping.
    if wanted(view) == 0 && desired.published == EndpointState::Started {
        return EndpointState::Started;
    }
    if running.iter().any(|it| !matches!(it, Some(ReplicaPhase::Exited(_) | ReplicaPhase::Orphaned))) {
        return EndpointState::Starting;
    }
    match &view.fetch {
        Some(Fetch::Failed { n_failures, is_final, .. })
            if *is_final || *n_failures >= world.settings.backoff.failures_max =>
        {
            return EndpointState::Error;
        }
        Some(
            Fetch::Queued { .. }
            | Fetch::Running { .. }
            | Fetch::HeldOff { .. }
            | Fetch::Checking { .. }
            | Fetch::CheckQueued { .. }
            | Fetch::Failed { .. }
            | Fetch::Absent
            | Fetch::Unreadable { .. },
        ) => {
            return EndpointState::Pending;
        }
        None => {}
    }
    match verdict(desired.id, &view.failures, desired.started_at, &world.settings.backoff) {
        Verdict::Broken { .. } => EndpointState::Error,
        Verdict::Clean if wanted(view) == 0 && view.replicas.is_empty() => EndpointState::Started,
        Verdict::Clean | Verdict::BackingOff { .. } => EndpointState::Pending,
    }
}

/// Whether it was started again while replicas of its last run end: it is STOPPING until they are gone.
pub(super) fn ends_last_run(view: &EndpointView) -> bool {
    view.desired.published == EndpointState::Stopping
        && view.replicas.iter().any(|it| it.row.intent != Intent::Run)
}

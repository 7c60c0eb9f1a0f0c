//! An endpoint's replicas, counted by what they are doing.

use super::Progress;
use crate::reconcile::{EndpointView, Observation, World, by_mark, phase_of};
use crate::replica::{Intent, ReplicaPhase};

#[derive(Default)]
pub(super) struct Count {
    pub(super) ready: u32,
    pub(super) launching: u32,
    pub(super) draining: u32,
    pub(super) stopping: u32,
    pub(super) in_flight: u32,
    pub(super) gone: u32,
    pub(super) progress: Option<Progress>,
}

pub(super) fn count_replicas(view: &EndpointView, world: &World) -> Count {
    let Observation::Known(observed) = &world.observation else { return Count::default() };
    let seen = by_mark(observed);
    let mut count = Count::default();
    for it in &view.replicas {
        let phase = phase_of(&it.row, &seen);
        count.in_flight += it.in_flight;
        match it.row.intent {
            Intent::Run => match phase {
                Some(ReplicaPhase::Ready { .. }) => count.ready += 1,
                Some(ReplicaPhase::Launching { percent, .. }) => {
                    count.launching += 1;
                    let elapsed_secs = world.now.since(it.row.reserved_at).as_secs();
                    if count.progress.is_none_or(|old| old.percent < *percent) {
                        count.progress = Some(Progress { percent: *percent, elapsed_secs });
                    }
                }
                None
                | Some(
                    ReplicaPhase::Unstarted
                    | ReplicaPhase::Unresponsive { .. }
                    | ReplicaPhase::Stopping
                    | ReplicaPhase::Orphaned
                    | ReplicaPhase::Exited(_),
                ) => count.launching += 1,
            },
            Intent::Drain { .. } => count.draining += 1,
            Intent::Stop { .. } if phase.is_none() => count.gone += 1,
            Intent::Stop { .. } => count.stopping += 1,
        }
    }
    count
}

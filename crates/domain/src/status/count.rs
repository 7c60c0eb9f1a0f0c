//! An endpoint's replicas, counted by what they are doing.

use super::{Explainer, Progress};
use crate::reconcile::{EndpointView, Observation};
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

impl Count {
    /// Of the endpoint `view`; of none, where nothing is known.
    pub(super) fn of(view: &EndpointView, all: &Explainer<'_>) -> Self {
        let world = all.world;
        let mut count = Self::default();
        if world.observation == Observation::Unknown {
            return count;
        }
        for it in &view.replicas {
            let phase = all.phase(&it.row);
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
}

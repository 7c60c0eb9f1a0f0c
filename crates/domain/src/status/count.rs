//! An endpoint's replicas, counted by what they are doing.

use super::{Explainer, Progress};
use crate::replica::{FailureCause, Intent, ReplicaPhase};
use crate::time::Timestamp;
use crate::world::{EndpointView, Observation};

#[derive(Default)]
pub(super) struct Count<'a> {
    pub(super) ready: u32,
    pub(super) launching: u32,
    /// Were ready and leave their probes unanswered.
    pub(super) silent: u32,
    /// Since when the first of those does.
    pub(super) silent_since: Option<Timestamp>,
    /// Have ended or are ending by themselves, and that is not recorded yet.
    pub(super) ended: u32,
    /// Why the last of those did.
    pub(super) ended_of: Option<FailureCause>,
    pub(super) draining: u32,
    pub(super) stopping: u32,
    pub(super) in_flight: u32,
    pub(super) gone: u32,
    pub(super) progress: Option<Progress>,
    /// What an engine says that serves, instead of its first token.
    pub(super) unready: Option<&'a str>,
}

impl<'a> Count<'a> {
    /// Of the endpoint `view`; of none, where nothing is known.
    pub(super) fn of(view: &EndpointView, all: &Explainer<'a>) -> Self {
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
                        count.unready = count.unready.or_else(|| all.unready(&it.row));
                        let elapsed_secs = world.now.since(it.row.reserved_at).as_secs();
                        if count.progress.is_none_or(|old| old.percent < *percent) {
                            count.progress = Some(Progress { percent: *percent, elapsed_secs });
                        }
                    }
                    Some(ReplicaPhase::Unresponsive { since, .. }) => {
                        count.silent += 1;
                        count.silent_since = Some(count.silent_since.map_or(*since, |it| it.min(*since)));
                    }
                    Some(ReplicaPhase::Exited(exit)) => count.end(exit.cause),
                    Some(ReplicaPhase::Stopping) => count.end(FailureCause::Stopped),
                    Some(ReplicaPhase::Orphaned) => count.end(FailureCause::SupervisorLost),
                    None if it.row.seen => count.end(FailureCause::Lost),
                    None | Some(ReplicaPhase::Unstarted) => count.launching += 1,
                },
                Intent::Drain { .. } => count.draining += 1,
                Intent::Stop { .. } if phase.is_none() => count.gone += 1,
                Intent::Stop { .. } => count.stopping += 1,
            }
        }
        count
    }
    fn end(&mut self, cause: FailureCause) {
        self.ended += 1;
        self.ended_of = Some(cause);
    }

    /// Those that are wanted and have neither ended nor been told to.
    pub(super) fn left_to_end(&self) -> u32 {
        self.stopping + self.ready + self.launching + self.silent + self.ended
    }
}

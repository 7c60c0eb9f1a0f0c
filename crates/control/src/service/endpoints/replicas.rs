//! How an endpoint's replicas are doing: their rows, and what the last pass saw of their processes.

use dedi_domain::reconcile::{EndpointView, ReplicaView, World, by_mark};
use dedi_domain::{Intent, Observation, ObservedReplica, ReplicaPhase, ReplicaRow};

/// A replica as it is shown.
pub(crate) struct ShownReplica {
    pub(crate) row: ReplicaRow,
    pub(crate) state: ReplicaState,
    /// Requests it has.
    pub(crate) in_flight: u32,
}

/// How a replica is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplicaState {
    /// The runtime could not be asked.
    Unknown,
    /// It has devices, and nothing was started yet.
    Reserved,
    Launching,
    Ready,
    Unresponsive,
    Draining,
    Stopping,
    /// Its processes are gone, and its devices not free yet.
    Releasing,
    Exited,
    /// Its processes are gone and said nothing.
    Lost,
}

/// The replicas of an endpoint, oldest first.
pub(super) fn shown(view: &EndpointView, world: &World) -> Vec<ShownReplica> {
    let (observed, is_known): (&[ObservedReplica], bool) = match &world.observation {
        Observation::Known(observed) => (observed, !world.quarantine.endpoints.contains(&view.desired.id)),
        Observation::Unknown => (&[], false),
    };
    let seen = by_mark(observed);
    let mut replicas: Vec<&ReplicaView> = view.replicas.iter().collect();
    replicas.sort_by_key(|it| it.row.attempt);
    replicas
        .into_iter()
        .map(|it| {
            let process = seen.get(&(it.row.id, it.row.nonce));
            let state = match process {
                None if !is_known => ReplicaState::Unknown,
                _ => state(it, process.map(|it| &it.phase)),
            };
            ShownReplica { row: it.row.clone(), state, in_flight: it.in_flight }
        })
        .collect()
}

fn state(it: &ReplicaView, seen: Option<&ReplicaPhase>) -> ReplicaState {
    match (it.row.intent, seen) {
        (Intent::Stop { .. }, None) => ReplicaState::Releasing,
        (Intent::Stop { .. }, Some(_)) => ReplicaState::Stopping,
        (Intent::Drain { .. }, _) => ReplicaState::Draining,
        (Intent::Run, None) if it.row.seen => ReplicaState::Lost,
        (Intent::Run, None | Some(ReplicaPhase::Unstarted)) => ReplicaState::Reserved,
        (Intent::Run, Some(ReplicaPhase::Launching { .. })) => ReplicaState::Launching,
        (Intent::Run, Some(ReplicaPhase::Ready { .. })) => ReplicaState::Ready,
        (Intent::Run, Some(ReplicaPhase::Unresponsive { .. })) => ReplicaState::Unresponsive,
        (Intent::Run, Some(ReplicaPhase::Stopping)) => ReplicaState::Stopping,
        (Intent::Run, Some(ReplicaPhase::Orphaned)) => ReplicaState::Lost,
        (Intent::Run, Some(ReplicaPhase::Exited(_))) => ReplicaState::Exited,
    }
}

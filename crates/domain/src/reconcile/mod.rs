//! The reconciler's decision: from what is wanted, what is stored and what is seen, to the next actions.
//!
//! Order of every change: write the intent, act, record. A pass decides one step; the loop runs passes until
//! one decides nothing. Each action may be lost, repeated or half done, and the next pass goes on from what
//! it sees. With an unknown observation nothing is decided at all.

mod action;
mod launches;
mod replica;
mod state;

use std::collections::BTreeMap;
use std::time::Duration;

pub use self::action::Action;
pub use self::launches::has_queue;
pub(crate) use self::launches::launches;
use self::replica::{is_failing, next_for_replica};
use self::state::goal_state;
use crate::end_reason::{DrainOutcome, EndReason};
use crate::endpoint::{EndpointState, Run, RunCause};
use crate::ids::{Nonce, ReplicaId};
use crate::quarantine::Quarantine;
use crate::replica::{Intent, ObservedReplica, ReplicaPhase, ReplicaRow};
use crate::time::Timestamp;
pub use crate::world::{EndpointView, Observation, ReplicaView, Settings, World, by_mark, wanted};
pub(crate) use crate::world::{Seen, phase_of};

/// Decides one step for the whole host. The result does not depend on the order of the input.
pub fn decide(world: &World) -> Vec<Action> {
    let Observation::Known(observed) = &world.observation else { return Vec::new() };
    let seen = by_mark(observed);
    let mut endpoints: Vec<&EndpointView> = world.endpoints.iter().collect();
    endpoints.sort_by_key(|it| it.desired.id);

    let mut actions = remove_strangers(&endpoints, &world.quarantine, observed);
    for view in &endpoints {
        decide_endpoint(view, &seen, world, &mut actions);
    }
    actions.extend(
        launches(&endpoints, &seen, world).into_iter().filter_map(|(endpoint, devices)| {
            devices.ok().map(|devices| Action::Reserve { endpoint, devices })
        }),
    );
    actions
}

/// Processes that carry our mark and belong to no row: a launch whose row was never committed, or a row that
/// was released by mistake. The store is known here, so they are nobody's.
fn remove_strangers(
    endpoints: &[&EndpointView],
    quarantine: &Quarantine,
    observed: &[ObservedReplica],
) -> Vec<Action> {
    let nonces: BTreeMap<ReplicaId, Nonce> =
        endpoints.iter().flat_map(|it| &it.replicas).map(|it| (it.row.id, it.row.nonce)).collect();
    let mut strangers: Vec<Action> = observed
        .iter()
        .filter(|it| nonces.get(&it.id) != Some(&it.nonce) && it.phase != ReplicaPhase::Stopping)
        .filter(|it| !quarantine.may_own(it))
        .map(|it| Action::Remove { replica: it.id, nonce: it.nonce, reason: EndReason::NoRecord })
        .collect();
    strangers.sort_by_key(|it| format!("{it:?}"));
    strangers.dedup();
    strangers
}

fn decide_endpoint(view: &EndpointView, seen: &Seen<'_>, world: &World, actions: &mut Vec<Action>) {
    let n_before = actions.len();
    let mut replicas: Vec<&ReplicaView> = view.replicas.iter().collect();
    replicas.sort_by_key(|it| it.row.id);
    let surplus = surplus(view, &replicas, seen, world);
    for replica in &replicas {
        let id = replica.row.id;
        let mut next = next_for_replica(replica, phase_of(&replica.row, seen), world);
        if let (Some(fetch), Some(Action::Spawn { .. })) = (&view.fetch, &next) {
            // Nothing can load its model now, and nothing has failed: it is placed anew when something can.
            next = Some(Action::Stop { replica: id, reason: fetch.into(), drain: DrainOutcome::NotNeeded });
        }
        // What is wanted says more of its end than what it lacked.
        let stops_it = |it: &Action| matches!(it, Action::Stop { replica, .. } if *replica == id);
        if !(next.as_ref().is_some_and(stops_it) && surplus.iter().any(stops_it)) {
            actions.extend(next);
        }
    }
    actions.extend(surplus);

    let desired = &view.desired;
    if is_idle(view, world.now) {
        actions.push(Action::StopIdle { endpoint: desired.id, generation: desired.generation });
    }
    // The state that follows a failure is judged with the failure recorded, in the next pass: it may be an ERROR.
    if actions[n_before..].iter().any(|it| matches!(it, Action::Fail { .. })) {
        return;
    }
    let state = desired.published.step_towards(goal_state(view, seen, world));
    if state != desired.published || desired.observed_generation != desired.generation {
        actions.push(Action::Publish {
            endpoint: desired.id,
            from: desired.published,
            state,
            generation: desired.generation,
        });
    } else if desired.deleted && view.replicas.is_empty() {
        actions.push(Action::Erase { endpoint: desired.id });
    }
}

/// Running replicas beyond what is wanted: those that load go first, then those that hang, then the youngest.
fn surplus(view: &EndpointView, replicas: &[&ReplicaView], seen: &Seen<'_>, world: &World) -> Vec<Action> {
    let is_serving = |row: &ReplicaRow| {
        matches!(phase_of(row, seen), Some(ReplicaPhase::Ready { .. } | ReplicaPhase::Unresponsive { .. }))
    };
    let mut running: Vec<&ReplicaRow> = replicas
        .iter()
        .filter(|it| it.row.intent == Intent::Run && !is_failing(it, seen, world))
        .map(|it| &it.row)
        .collect();
    let answers = |row: &ReplicaRow| matches!(phase_of(row, seen), Some(ReplicaPhase::Ready { .. }));
    running.sort_by_key(|it| (!answers(it), !is_serving(it), it.reserved_at, it.id));
    let reason = surplus_reason(view, u32::try_from(running.len()).unwrap_or(u32::MAX));
    running
        .into_iter()
        .skip(wanted(view) as usize)
        .map(|it| {
            if is_serving(it) {
                Action::Drain { replica: it.id, reason }
            } else {
                Action::Stop { replica: it.id, reason, drain: DrainOutcome::NotNeeded }
            }
        })
        .collect()
}

/// Why fewer than the `from` replicas that run are wanted.
fn surplus_reason(view: &EndpointView, from: u32) -> EndReason {
    let desired = &view.desired;
    let to = wanted(view);
    match (desired.run, desired.run_cause) {
        _ if desired.deleted => EndReason::DeleteRequested,
        (Run::Stopped, RunCause::User) => EndReason::StopRequested,
        (Run::Stopped, RunCause::Inactive) => EndReason::StoppedInactive,
        (Run::Started, _) if to == desired.replicas.max() => EndReason::MaxReplicasLowered { from, to },
        (Run::Started, _) => EndReason::ScaledDown { from, to },
    }
}

/// Whether the inactivity timeout has passed. Never on absent or old numbers: no news is not idleness.
fn is_idle(view: &EndpointView, now: Timestamp) -> bool {
    let (Some(minutes), Some(load)) = (view.desired.inactive_timeout_minutes, view.load) else {
        return false;
    };
    view.desired.wants_replicas()
        && view.desired.published == EndpointState::Started
        && load.in_flight == 0
        && load.waiting == 0
        && now.since(view.last_activity.max(view.desired.idle.counts_from))
            >= Duration::from_secs(u64::from(minutes) * 60)
}

#[cfg(test)]
mod reason_tests;
#[cfg(test)]
mod runtime_tests;
#[cfg(test)]
pub(crate) mod tests;

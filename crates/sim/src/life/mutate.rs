//! The decision, with a planted bug in what it sees or in what it says.

use std::time::Duration;

use dedi_domain::failure::verdict;
use dedi_domain::hardware::Health;
use dedi_domain::reconcile::{EndpointView, Observation, ReplicaView, World, decide as healthy};
use dedi_domain::route::EndpointLoad;
use dedi_domain::{
    Action, DeviceId, EndReason, EndpointState, FailureCause, Intent, ReplicaId, ReplicaPhase, Run,
};

use crate::bug::Bug;
use crate::world::devices::NEEDED_BYTES;

pub(crate) fn decide(bug: Option<Bug>, world: &World) -> Vec<Action> {
    let Some(bug) = bug else { return healthy(world) };
    let mut seen = world.clone();
    before(bug, &mut seen);
    let mut actions = healthy(&seen);
    after(bug, world, &mut actions);
    actions
}

/// Bugs in what the decision sees.
fn before(bug: Bug, world: &mut World) {
    let long = Duration::from_secs(1_000_000);
    let now = world.now;
    if bug == Bug::NoDrainTimeout {
        world.settings.drain_timeout = long;
    } else if bug == Bug::NoReleaseWait {
        world.settings.release_wait = long;
    } else if bug == Bug::NoStartupDeadline {
        world.settings.startup_deadline = long;
    } else if bug == Bug::NoBackoff {
        world.settings.backoff.base = Duration::ZERO;
    } else if bug == Bug::NeverRetry {
        world.settings.backoff.base = long;
        world.settings.backoff.cap = long;
    } else if bug == Bug::NoQuarantine || bug == Bug::IgnoreLeftover {
        for it in &mut world.inventory.devices {
            it.leftover_bytes = 0;
        }
    } else if bug == Bug::IgnoreHealth {
        for it in &mut world.inventory.devices {
            it.health = Health::Healthy;
        }
    } else if bug == Bug::AdoptOrphan || bug == Bug::IgnoreHang {
        let Observation::Known(listed) = &mut world.observation else { return };
        for it in listed {
            match &it.phase {
                ReplicaPhase::Orphaned if bug == Bug::AdoptOrphan => {
                    it.phase = ReplicaPhase::Launching { progress_at: now, percent: None };
                }
                ReplicaPhase::Unresponsive { address, .. } if bug == Bug::IgnoreHang => {
                    it.phase = ReplicaPhase::Ready { address: address.clone() };
                }
                ReplicaPhase::Unstarted
                | ReplicaPhase::Launching { .. }
                | ReplicaPhase::Ready { .. }
                | ReplicaPhase::Unresponsive { .. }
                | ReplicaPhase::Stopping
                | ReplicaPhase::Orphaned
                | ReplicaPhase::Exited(_) => {}
            }
        }
    }
    for view in &mut world.endpoints {
        if bug == Bug::MissingLoadIsIdle && view.load.is_none() {
            view.load = Some(EndpointLoad::default());
        }
        if bug == Bug::LaunchWithoutModel && view.fetch.take().is_some() {
            view.bytes_per_device = Some(NEEDED_BYTES);
        }
        let is_begun = |it: &ReplicaView| it.row.intent == Intent::Run && !it.row.seen;
        if bug == Bug::SpawnWithoutModel && view.replicas.iter().any(is_begun) {
            view.fetch = None;
        }
        if bug == Bug::WakeStopped && view.load.is_some_and(|it| it.waiting > 0) && !view.desired.deleted {
            view.desired.run = Run::Started;
            view.target = 1;
        }
        if bug == Bug::RetryTerminal {
            for it in &mut view.failures {
                it.cause = FailureCause::EngineExited;
            }
        }
        for it in &mut view.replicas {
            if bug == Bug::SkipDrainAck {
                it.out_of_routing = true;
            }
            if bug == Bug::SkipInFlight {
                it.in_flight = 0;
            }
        }
    }
}

/// Bugs in what the decision says.
fn after(bug: Bug, world: &World, actions: &mut Vec<Action>) {
    let Observation::Known(listed) = &world.observation else { return };
    let phase = |id: ReplicaId| listed.iter().find(|it| it.id == id).map(|it| &it.phase);
    let rows = || world.endpoints.iter().flat_map(|it| &it.replicas).map(|it| &it.row);
    if bug == Bug::FreeBeforeExit {
        for row in rows() {
            let is_leaving = matches!(phase(row.id), Some(ReplicaPhase::Stopping));
            if matches!(row.intent, Intent::Stop { .. }) && is_leaving {
                actions.push(Action::Release { replica: row.id, leftover_bytes: 0, unmeasured: Vec::new() });
            }
        }
    } else if bug == Bug::UnmeasuredIsFree {
        for it in actions.iter_mut() {
            let Action::MarkGone { replica } = *it else { continue };
            let devices = rows().find(|it| it.id == replica).map_or(&[][..], |it| &it.devices);
            let unmeasured: Vec<_> =
                devices.iter().filter(|it| !world.inventory.is_measured(it)).cloned().collect();
            if !unmeasured.is_empty() {
                *it = Action::Release { replica, leftover_bytes: 0, unmeasured };
            }
        }
    } else if bug == Bug::UnmeasuredIsUnsaid {
        for it in actions.iter_mut() {
            if let Action::Release { unmeasured, .. } = it {
                unmeasured.clear();
            }
        }
    } else if bug == Bug::IntentGoesUp {
        // A drain that was decided on long ago and is written only now.
        for row in rows() {
            let Intent::Stop { reason, .. } = row.intent else { continue };
            actions.push(Action::Drain { replica: row.id, reason });
        }
    } else if bug == Bug::KeepStrangers {
        let is_known = |id: ReplicaId, nonce| rows().any(|it| it.id == id && it.nonce == nonce);
        actions
            .retain(|it| !matches!(it, Action::Remove { replica, nonce, .. } if !is_known(*replica, *nonce)));
    } else if bug == Bug::EraseTooEarly {
        for view in world.endpoints.iter().filter(|it| it.desired.deleted) {
            actions.push(Action::Erase { endpoint: view.desired.id });
        }
    } else if bug == Bug::DoubleReserve || bug == Bug::NoUniqueDevice {
        let again: Vec<Action> =
            actions.iter().filter(|it| matches!(it, Action::Reserve { .. })).cloned().collect();
        actions.extend(again);
        if bug == Bug::DoubleReserve {
            spread(world, actions);
        }
    } else if bug == Bug::StarveLarge {
        starve(world, actions);
    } else if bug == Bug::BackoffLosesTurn {
        serve_only(world, actions, |view| {
            let it = &view.desired;
            verdict(it.id, &view.failures, it.started_at, &world.settings.backoff).allows_launch(world.now)
        });
    } else if bug == Bug::DrainReadyFirst {
        for action in actions.iter_mut() {
            turn_to_ready(world, action, &phase);
        }
    } else if bug == Bug::OrderMatters {
        // As if asked in the order of the rows instead of the order of time.
        let first = world.endpoints.first().map(|it| it.desired.id);
        actions.retain(|it| !matches!(it, Action::Reserve { endpoint, .. } if Some(*endpoint) != first));
    } else if bug == Bug::BlamesScaling {
        for it in actions.iter_mut() {
            if let Action::Drain { reason, .. } | Action::Stop { reason, .. } = it {
                *reason = EndReason::ScaledDown { from: 1, to: 0 };
            }
        }
    } else if bug == Bug::GenerationAhead {
        for it in actions.iter_mut() {
            if let Action::Publish { generation, .. } = it {
                *generation += 1;
            }
        }
    } else {
        mutate_shown(bug, world, actions, &phase);
    }
}

/// Bugs in the states shown.
fn mutate_shown<'a>(
    bug: Bug,
    world: &World,
    actions: &mut [Action],
    phase: &dyn Fn(ReplicaId) -> Option<&'a ReplicaPhase>,
) {
    for it in actions.iter_mut() {
        let Action::Publish { endpoint, from, state, .. } = it else { continue };
        let Some(view) = world.endpoints.iter().find(|it| it.desired.id == *endpoint) else { continue };
        let wanted = view.desired.wants_replicas();
        let answers = |it: &dedi_domain::reconcile::ReplicaView, draining: bool| {
            matches!(it.row.intent, Intent::Drain { .. }) == draining
                && matches!(phase(it.row.id), Some(ReplicaPhase::Ready { .. }))
        };
        let is_starting = *from == EndpointState::Starting;
        let serves = || view.replicas.iter().any(|it| answers(it, false) && it.row.intent == Intent::Run);
        let drains = || view.replicas.iter().any(|it| answers(it, true));
        let answers_soon = bug == Bug::StartedWhileLaunching && is_starting
            || bug == Bug::DrainingCounts && is_starting && drains()
            || bug == Bug::JumpState && serves();
        let is_short = bug == Bug::ErrorWithoutRetry && *state == EndpointState::Pending;
        if answers_soon && wanted {
            *state = EndpointState::Started;
        } else if is_short && wanted && from.may_become(EndpointState::Error) {
            *state = EndpointState::Error;
        }
    }
}

/// Moves each second reservation of an endpoint to devices that nobody holds.
fn spread(world: &World, actions: &mut Vec<Action>) {
    let mut taken: Vec<DeviceId> =
        world.endpoints.iter().flat_map(|it| &it.replicas).flat_map(|it| &it.row.devices).cloned().collect();
    actions.retain_mut(|it| {
        let Action::Reserve { devices, .. } = it else { return true };
        for device in devices.iter_mut() {
            if taken.contains(device) {
                let Some(free) = world.inventory.devices.iter().find(|it| !taken.contains(&it.id)) else {
                    return false;
                };
                *device = free.id.clone();
            }
            taken.push(device.clone());
        }
        true
    });
}

/// Serves those behind the first that waits.
fn starve(world: &World, actions: &mut Vec<Action>) {
    let is_served =
        |id| actions.iter().any(|it| matches!(it, Action::Reserve { endpoint, .. } if *endpoint == id));
    let waiting = world
        .endpoints
        .iter()
        .filter(|it| it.desired.wants_replicas() && it.replicas.is_empty() && !is_served(it.desired.id))
        .min_by_key(|it| (it.desired.started_at, it.desired.id));
    let Some(waiting) = waiting.map(|it| it.desired.id) else { return };
    serve_only(world, actions, |it| it.desired.id != waiting);
}

/// Gives devices out as if the others were not there.
fn serve_only(world: &World, actions: &mut Vec<Action>, is_meant: impl Fn(&EndpointView) -> bool) {
    let mut without = world.clone();
    for view in world.endpoints.iter().filter(|it| !is_meant(it)) {
        // What they hold stays theirs.
        without.quarantine(view.desired.id);
    }
    let given = healthy(&without);
    actions.retain(|it| !matches!(it, Action::Reserve { .. }));
    actions.extend(given.into_iter().filter(|it| matches!(it, Action::Reserve { .. })));
}

/// Turns the stop of a loading replica into the drain of a ready one beside it.
fn turn_to_ready<'a>(
    world: &World,
    action: &mut Action,
    phase: &dyn Fn(ReplicaId) -> Option<&'a ReplicaPhase>,
) {
    let Action::Stop { replica, reason, .. } = action else { return };
    let view = world.endpoints.iter().find(|it| it.replicas.iter().any(|it| it.row.id == *replica));
    let Some(view) = view.filter(|it| it.desired.wants_replicas()) else { return };
    let is_surplus = view.replicas.iter().any(|it| it.row.id == *replica && it.row.intent == Intent::Run);
    let ready = view.replicas.iter().find(|it| {
        it.row.intent == Intent::Run && matches!(phase(it.row.id), Some(ReplicaPhase::Ready { .. }))
    });
    if let (true, Some(ready)) = (is_surplus, ready) {
        *action = Action::Drain { replica: ready.row.id, reason: *reason };
    }
}

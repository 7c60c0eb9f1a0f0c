//! Why replicas are ended: each situation gives exactly one reason, and each reason has a situation.

use std::collections::BTreeSet;

use super::tests::{NOW, endpoint, launching, ready, replica, seen, world};
use super::*;
use crate::FailureCause;
use crate::fetch::Fetch;
use crate::hardware::Health;
use crate::replica::Exit;

/// One replica that is to run, in an endpoint that wants it.
fn one() -> EndpointView {
    let mut view = endpoint(1, 1);
    view.replicas = vec![replica(1, Intent::Run)];
    view
}

/// A replica whose process was never begun.
fn unstarted() -> EndpointView {
    let mut view = one();
    view.desired.published = EndpointState::Starting;
    view.replicas[0].row.seen = false;
    view
}

fn changed(mut view: EndpointView, change: impl FnOnce(&mut EndpointView)) -> EndpointView {
    change(&mut view);
    view
}

fn fetching(fetch: Fetch) -> World {
    world(changed(unstarted(), |it| it.fetch = Some(fetch)), Vec::new())
}

fn exited(cause: FailureCause) -> ReplicaPhase {
    ReplicaPhase::Exited(Exit { code: None, signal: None, cause, at: NOW, log_tail: Vec::new() })
}

/// A world in which a replica is ended for this reason, whatever else would end it. A new reason needs one.
fn situation(reason: EndReason) -> World {
    let serving = |change: &dyn Fn(&mut EndpointView)| {
        world(changed(one(), |it| change(it)), vec![seen(1, 1, ready())])
    };
    let two = |min, max, target| {
        let view = changed(endpoint(min, max), |it| {
            it.target = target;
            it.replicas = vec![replica(1, Intent::Run), replica(2, Intent::Run)];
        });
        world(view, vec![seen(1, 1, ready()), seen(2, 2, ready())])
    };
    match reason {
        EndReason::ScaledDown { .. } => two(1, 2, 1),
        EndReason::MaxReplicasLowered { .. } => two(1, 1, 2),
        EndReason::StopRequested => serving(&|it| it.desired.run = Run::Stopped),
        EndReason::StoppedInactive => serving(&|it| {
            it.desired.run = Run::Stopped;
            it.desired.run_cause = RunCause::Inactive;
        }),
        // Whatever it was before that.
        EndReason::DeleteRequested => serving(&|it| {
            it.desired.run = Run::Stopped;
            it.desired.run_cause = RunCause::Inactive;
            it.desired.deleted = true;
        }),
        EndReason::DeviceLost => {
            let mut world = world(unstarted(), Vec::new());
            world.inventory.devices[0].health = Health::Faulty(String::new());
            world
        }
        EndReason::Downloading => fetching(Fetch::Running { bytes_done: 0, bytes_total: None, since: NOW }),
        EndReason::Checking => fetching(Fetch::Checking { bytes_done: 0, bytes_total: 1, since: NOW }),
        EndReason::DownloadFailed => {
            fetching(Fetch::Failed { what: String::new(), n_failures: 1, retry_at: NOW, is_final: false })
        }
        EndReason::ModelAbsent => fetching(Fetch::Absent),
        EndReason::ModelUnreadable => fetching(Fetch::Unreadable { what: String::new() }),
        EndReason::NoRecord => world(one(), vec![seen(1, 1, ready()), seen(1, 9, ready())]),
        // What was decided stays: these are read from the row.
        EndReason::Failed { .. } | EndReason::Unknown => serving(&|it| {
            it.replicas[0].row.intent = Intent::Stop { since: NOW, reason };
        }),
    }
}

/// What a plan ends, and why.
fn reasons(world: &World) -> Vec<EndReason> {
    let of = |action: &Action| match action {
        Action::Drain { reason, .. } | Action::Stop { reason, .. } | Action::Remove { reason, .. } => {
            Some(*reason)
        }
        Action::Fail { cause, .. } => Some(EndReason::Failed { cause: *cause }),
        Action::Reserve { .. }
        | Action::Spawn { .. }
        | Action::MarkSeen { .. }
        | Action::MarkReady { .. }
        | Action::MarkGone { .. }
        | Action::Release { .. }
        | Action::StopIdle { .. }
        | Action::Publish { .. }
        | Action::Erase { .. } => None,
    };
    decide(world).iter().filter_map(of).collect()
}

#[test]
fn end_reasons_each_have_a_situation_that_gives_them_and_no_other() {
    let failures = FailureCause::ALL.into_iter().map(|cause| EndReason::Failed { cause });
    let mut given = BTreeSet::new();
    for reason in EndReason::PLANNED.into_iter().chain(failures) {
        let world = situation(reason);
        assert_eq!(reasons(&world), [reason], "{}", super::tests::said(&world));
        given.insert(reason);
    }
    assert_eq!(given.len(), EndReason::PLANNED.len() + FailureCause::ALL.len());
}

#[test]
fn end_reasons_of_a_fetch_name_its_state() {
    let (n_ahead, bytes_done, bytes_total) = (1, 0, 0);
    let downloading = [
        Fetch::Queued { n_ahead, bytes_done, bytes_total },
        Fetch::HeldOff { what: String::new(), until: NOW },
    ];
    for fetch in downloading {
        assert_eq!(reasons(&fetching(fetch)), [EndReason::Downloading]);
    }
    let queued = Fetch::CheckQueued { n_ahead, bytes_done, bytes_total };
    assert_eq!(reasons(&fetching(queued)), [EndReason::Checking]);
}

#[test]
fn end_reason_is_what_was_wanted_and_not_what_the_replica_lacked() {
    // Its model is fetched and its device is broken, but it was stopped.
    let view = changed(unstarted(), |it| {
        it.fetch = Some(Fetch::Absent);
        it.desired.run = Run::Stopped;
    });
    let mut stopped = world(view, Vec::new());
    assert_eq!(reasons(&stopped), [EndReason::StopRequested]);
    stopped.inventory.devices.clear();
    assert_eq!(reasons(&stopped), [EndReason::StopRequested]);
}

#[test]
fn end_reason_of_a_drain_stays_until_its_processes_are_removed() {
    let surplus = EndReason::ScaledDown { from: 2, to: 1 };
    // By then something else is wanted as well.
    let with = |intent: Intent, phase: Option<ReplicaPhase>| {
        let view = changed(one(), |it| {
            it.replicas[0].row.intent = intent;
            it.replicas[0].in_flight = 1;
            it.desired.deleted = true;
        });
        let world = world(view, phase.map(|it| seen(1, 1, it)).into_iter().collect());
        decide(&world).into_iter().next()
    };
    let replica = ReplicaId::from_uuid(uuid::Uuid::from_u128(1));
    let draining = |secs: i64| Intent::Drain { since: Timestamp(NOW.0 - secs * 1_000), reason: surplus };
    let stop = |drain| Some(Action::Stop { replica, reason: surplus, drain });
    assert!(!matches!(with(draining(29), Some(ready())), Some(Action::Stop { .. })), "it has a request");
    assert_eq!(with(draining(30), Some(ready())), stop(DrainOutcome::TimedOut));
    let outcomes = [
        (Some(launching()), DrainOutcome::NotNeeded),
        (Some(ReplicaPhase::Unstarted), DrainOutcome::NotNeeded),
        (Some(exited(FailureCause::EngineKilled)), DrainOutcome::Interrupted(FailureCause::EngineKilled)),
        (Some(ReplicaPhase::Orphaned), DrainOutcome::Interrupted(FailureCause::SupervisorLost)),
        (Some(ReplicaPhase::Stopping), DrainOutcome::Interrupted(FailureCause::Stopped)),
        (None, DrainOutcome::Interrupted(FailureCause::Lost)),
    ];
    for (phase, outcome) in outcomes {
        assert_eq!(with(draining(0), phase), stop(outcome));
    }
    let stopping = Intent::Stop { since: NOW, reason: surplus };
    let removed = with(stopping, Some(ready()));
    assert!(matches!(removed, Some(Action::Remove { reason, .. }) if reason == surplus), "{removed:?}");
}

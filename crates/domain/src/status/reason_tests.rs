//! What an endpoint says of itself in each state, in words.

use std::time::Duration;

use super::*;
use crate::end_reason::EndReason;
use crate::failure::Failure;
use crate::hardware::{HardwareId, Health};
use crate::idle::TimeoutBy;
use crate::ids::EndpointId;
use crate::reconcile::tests::{NOW, endpoint, launching, ready, replica, seen, world};
use crate::replica::{Exit, FailureCause, Intent, ObservedReplica, ReplicaPhase};
use crate::time::Timestamp;

/// What is said of an endpoint with `n` replicas, in this state, of which these are seen.
fn told(n: u128, published: EndpointState, observed: Vec<ObservedReplica>) -> Reason {
    let mut view = endpoint(i64::try_from(n).unwrap(), 4);
    view.desired.published = published;
    view.replicas = (1..=n).map(|at| replica(at, Intent::Run)).collect();
    let world = world(view, observed);
    super::super::explain(&world.endpoints[0], &world).reason
}

fn silent(n: u128, secs: i64) -> ObservedReplica {
    let ReplicaPhase::Ready { address } = ready() else { panic!("ready() is ready") };
    seen(n, n, ReplicaPhase::Unresponsive { since: Timestamp(NOW.0 - secs * 1_000), address })
}

fn ended(n: u128) -> ObservedReplica {
    let cause = FailureCause::EngineKilled;
    let exit = Exit { code: None, signal: Some(9), cause, at: NOW, log_tail: Vec::new() };
    seen(n, n, ReplicaPhase::Exited(exit))
}

/// Attempts that have failed so many seconds ago.
fn failed(attempts_and_ages: &[(u32, i64)]) -> Vec<Failure> {
    let each = attempts_and_ages.iter().map(|(attempt, secs)| Failure {
        attempt: *attempt,
        cause: FailureCause::EngineExited,
        at: Timestamp(NOW.0 - secs * 1_000),
        ready_for: Duration::ZERO,
        detail: "last log line: a secret".to_owned(),
    });
    each.collect()
}

#[test]
fn an_attempt_that_failed_is_named_by_its_number_and_the_count_is_a_count() {
    let mut view = endpoint(1, 1);
    view.desired.published = EndpointState::Pending;
    let mut told = |failures: &[(u32, i64)]| {
        view.failures = failed(failures);
        let world = world(view.clone(), Vec::new());
        super::super::explain(&world.endpoints[0], &world).reason
    };
    let once = told(&[(6, 0)]);
    assert!(
        once.message.starts_with("attempt 6 failed: the engine exited with an error; the next one is in 1 s"),
        "{}",
        once.message
    );
    assert!(once.next_step.is_some_and(|it| it.ends_with("--attempt 6`")));
    let twice = told(&[(6, 5), (9, 0)]).message;
    assert!(twice.starts_with("attempt 9 failed, 2 times in a row now: "), "{twice}");
}

#[test]
fn an_endpoint_with_too_few_replicas_says_what_keeps_the_others_and_what_helps() {
    let mut view = endpoint(2, 2);
    view.replicas = vec![replica(1, Intent::Run)];
    let told = |view: &EndpointView, change: &dyn Fn(&mut World)| {
        let mut world = world(view.clone(), vec![seen(1, 1, ready())]);
        change(&mut world);
        let it = super::super::explain(&world.endpoints[0], &world);
        (it.reason.code, it.reason.message, it.reason.next_step.unwrap_or_default())
    };
    let (code, message, _) = told(&view, &|_| ());
    assert_eq!(
        (code, message.as_str()),
        (ReasonCode::Scaling, "1 of 2 replicas answers, 1 is about to be launched")
    );
    let (code, message, step) = told(&view, &|it| it.inventory.devices.truncate(1));
    assert_eq!(code, ReasonCode::Degraded);
    assert!(
        message.starts_with("1 of 2 replicas answers; 1x_gpu_80gb needs 1 free device, none is free"),
        "{message}"
    );
    assert!(step.contains("dedi endpoints hardware"), "{step}");
    view.failures = failed(&[(2, 3), (3, 0)]);
    let (code, message, step) = told(&view, &|_| ());
    assert_eq!(code, ReasonCode::Degraded);
    assert_eq!(
        message,
        "1 of 2 replicas answers; attempt 3 failed, 2 times in a row now: the engine exited with an error; the next one is in 2 s"
    );
    assert!(step.contains("dedi endpoints logs") && step.ends_with("--attempt 3`"), "{step}");
    view.failures = failed(&[(3, 0)]);
    view.failures[0].cause = FailureCause::DeviceOutOfMemory;
    let (code, message, step) = told(&view, &|_| ());
    assert_eq!(code, ReasonCode::Degraded);
    assert!(message.ends_with("; it is not tried again by itself"), "{message}");
    assert!(step.contains("--plan"), "{step}");
}

#[test]
fn who_waits_for_his_turn_is_told_what_the_earlier_one_lacks_and_not_who_it_is() {
    let mut first = endpoint(1, 1);
    first.desired.published = EndpointState::Pending;
    first.desired.hardware = HardwareId::parse("2x_gpu_80gb").unwrap();
    let mut second = endpoint(1, 1);
    second.desired.id = EndpointId::from_uuid(uuid::Uuid::from_u128(2));
    second.desired.published = EndpointState::Pending;
    second.desired.started_at = Timestamp(1);
    let mut held = replica(1, Intent::Run);
    held.row.endpoint = EndpointId::from_uuid(uuid::Uuid::from_u128(3));
    let mut third = endpoint(1, 1);
    third.desired.id = held.row.endpoint;
    third.replicas = vec![held];
    let mut world = world(second, vec![seen(1, 1, ready())]);
    world.endpoints.extend([first, third]);
    let it = super::super::explain(&world.endpoints[0], &world).reason;
    assert_eq!(it.code, ReasonCode::WaitingTurn);
    assert_eq!(
        it.message,
        "an endpoint that asked earlier for this kind of device is served first: it needs 2 devices, 1 is free"
    );
    assert!(it.next_step.is_some_and(|it| it.contains("dedi endpoints hardware")));
}

#[test]
fn a_host_without_a_healthy_device_says_so_while_the_lost_one_is_awaited() {
    let mut view = endpoint(1, 1);
    view.desired.published = EndpointState::Pending;
    view.replicas = vec![replica(1, Intent::Stop { since: NOW, reason: EndReason::StopRequested })];
    let mut world = world(view, Vec::new());
    let code = |world: &World| super::super::explain(&world.endpoints[0], world).reason.code;
    world.inventory.devices.truncate(1);
    assert_eq!(code(&world), ReasonCode::DrainingPrevious);
    world.inventory.devices[0].health = Health::Faulty(String::new());
    assert_eq!(code(&world), ReasonCode::HardwareMissing);
}

#[test]
fn a_try_that_is_under_way_is_not_the_next_one() {
    let mut view = endpoint(1, 1);
    view.failures = failed(&[(1, 20)]);
    view.replicas = vec![replica(1, Intent::Run)];
    view.desired.published = EndpointState::Starting;
    let starting = world(view.clone(), vec![seen(1, 1, launching())]);
    assert_eq!(super::super::explain(&starting.endpoints[0], &starting).next_retry_at, None);
    // In ERROR there is always one, or nothing is done before the user acts.
    view.failures = failed(&[(1, 500), (2, 490), (3, 480), (4, 470), (5, 460)]);
    view.replicas = Vec::new();
    view.desired.published = EndpointState::Error;
    let mut waits = world(view, Vec::new());
    waits.inventory.devices.clear();
    let it = super::super::explain(&waits.endpoints[0], &waits);
    assert_eq!(it.next_retry_at, Some(NOW));
    assert!(it.reason.message.contains("; the next try waits: 1x_gpu_80gb needs 1 device"), "{it:?}");
}

#[test]
fn what_is_deleted_was_not_asked_to_start() {
    let mut view = endpoint(1, 1);
    view.desired.published = EndpointState::Stopped;
    view.desired.deleted = true;
    let world = world(view, Vec::new());
    let it = super::super::explain(&world.endpoints[0], &world).reason;
    assert_eq!((it.code, it.message.as_str()), (ReasonCode::Deleting, "being deleted; no replica is left"));
}

#[test]
fn a_replica_that_hangs_or_has_ended_is_not_said_to_start() {
    let hangs = told(1, EndpointState::Starting, vec![silent(1, 12)]);
    assert_eq!(hangs.code, ReasonCode::Unresponsive);
    assert_eq!(hangs.message, "1 replica has left its probes unanswered for 12 s; it is replaced after 30 s");
    assert!(hangs.next_step.is_some_and(|it| it.contains("dedi endpoints logs")));
    let both = told(2, EndpointState::Starting, vec![silent(1, 12), silent(2, 20)]);
    assert_eq!(
        both.message,
        "2 replicas leave their probes unanswered, the first for 20 s; each is replaced after 30 s"
    );
    let gone = told(1, EndpointState::Starting, vec![ended(1)]);
    assert_eq!(gone.code, ReasonCode::EngineKilled);
    assert_eq!(
        gone.message,
        "1 replica ended because the engine was killed by a signal that dedi did not send; that is about to be recorded"
    );
    // Seen before and gone without a trace.
    assert_eq!(told(1, EndpointState::Starting, Vec::new()).code, ReasonCode::Lost);
    // Another one is on its way.
    let loads = told(2, EndpointState::Starting, vec![silent(1, 12), seen(2, 2, launching())]);
    assert_eq!(loads.code, ReasonCode::Loading);
    let half = told(2, EndpointState::Started, vec![silent(1, 12), seen(2, 2, ready())]);
    assert_eq!(half.code, ReasonCode::Degraded);
    assert_eq!(
        half.message,
        "1 of 2 replicas answers; 1 replica has left its probes unanswered for 12 s; it is replaced after 30 s"
    );
}

#[test]
fn numbers_of_replicas_read_as_english() {
    let said = [(1, 1), (0, 1), (1, 2), (2, 2), (0, 2), (2, 1), (1, 0)].map(|(ready, n)| answering(ready, n));
    assert_eq!(
        said,
        [
            "1 of 1 replica answers",
            "no replica answers, 1 is wanted",
            "1 of 2 replicas answers",
            "2 of 2 replicas answer",
            "no replica answers, 2 are wanted",
            "2 replicas answer, 1 is wanted now",
            "1 replica answers, none is wanted now",
        ]
    );
    let world = world(endpoint(1, 1), Vec::new());
    let starting = |count: Count| starting_reason(&world.endpoints[0], &world, &count).message;
    assert_eq!(starting(Count::default()), "a replica is about to be launched");
    let launching = |launching| starting(Count { launching, ..Count::default() });
    assert_eq!(
        [launching(1), launching(2)],
        ["1 replica is being launched", "2 replicas are being launched"]
    );
}

#[test]
fn an_endpoint_that_was_created_stopped_is_not_said_to_have_been_stopped() {
    let mut view = endpoint(1, 1);
    view.desired.published = EndpointState::Stopped;
    view.desired.run = Run::Stopped;
    let told = |view: &EndpointView| {
        let world = world(view.clone(), Vec::new());
        let it = super::super::explain(&world.endpoints[0], &world).reason;
        (it.code, it.message)
    };
    assert_eq!(told(&view), (ReasonCode::StoppedByUser, "created without being started".to_owned()));
    view.desired.generation = 2;
    assert_eq!(told(&view), (ReasonCode::StoppedByUser, "stopped on request".to_owned()));
    view.desired.run_cause = RunCause::Inactive;
    // Another one since does not change what acted.
    view.desired.inactive_timeout_minutes = Some(90);
    view.desired.idle.stopped = Some(IdleStop { minutes: 1, by: TimeoutBy::Default });
    assert_eq!(
        told(&view).1,
        "no inference request for 1 minute, its inactive_timeout (the server's default)"
    );
}

#[test]
fn a_stop_is_first_said_to_drain_and_a_start_meanwhile_is_told() {
    let mut view = endpoint(1, 1);
    view.desired.published = EndpointState::Stopping;
    view.desired.run = Run::Stopped;
    view.replicas = vec![replica(1, Intent::Run)];
    view.replicas[0].in_flight = 1;
    let told = |view: &EndpointView| {
        let world = world(view.clone(), vec![seen(1, 1, ready())]);
        let it = super::super::explain(&world.endpoints[0], &world).reason;
        (it.code, it.message)
    };
    let said = (ReasonCode::Draining, "1 request is being finished on 1 replica".to_owned());
    assert_eq!(told(&view), said, "before the pass that makes it drain");
    view.replicas[0].row.intent = Intent::Drain { since: NOW, reason: EndReason::StopRequested };
    assert_eq!(told(&view), said);
    view.desired.run = Run::Started;
    let (code, message) = told(&view);
    assert_eq!(code, ReasonCode::Draining);
    assert_eq!(message, "1 request is being finished on 1 replica; it starts again afterwards");
    view.replicas[0].row.intent = Intent::Stop { since: NOW, reason: EndReason::StopRequested };
    assert_eq!(told(&view).1, "1 replica is being ended; it starts again afterwards");
}

#[test]
fn devices_that_become_free_by_themselves_are_waited_for_and_nobody_is_named() {
    let mut waits = endpoint(1, 1);
    waits.desired.published = EndpointState::Pending;
    waits.desired.started_at = Timestamp(1);
    let mut holder = endpoint(1, 1);
    holder.desired.id = EndpointId::from_uuid(uuid::Uuid::from_u128(2));
    holder.replicas = vec![replica(1, Intent::Run)];
    holder.replicas[0].row.endpoint = holder.desired.id;
    let told = |holder: &EndpointView| {
        let mut world = world(waits.clone(), vec![seen(1, 1, ready())]);
        world.inventory.devices.truncate(1);
        world.endpoints.push(holder.clone());
        super::super::explain(&world.endpoints[0], &world).reason
    };
    let taken = told(&holder);
    assert_eq!(taken.code, ReasonCode::NoCapacity);
    assert!(taken.next_step.is_some_and(|it| it.starts_with("stop another endpoint")));
    let by_itself = |holder: &EndpointView, said: &str| {
        let it = told(holder);
        assert_eq!(it.code, ReasonCode::NoCapacity);
        assert_eq!(
            it.message,
            format!(
                "1x_gpu_80gb needs 1 free device, none is free; 1 is held by what is being deleted or stopped: \
                 it starts by itself when {said}"
            )
        );
        assert_eq!(it.next_step, None);
    };
    holder.desired.deleted = true;
    by_itself(&holder, "the requests there are done, for which they have at most 30 s");
    holder.replicas[0].row.intent =
        Intent::Drain { since: Timestamp(NOW.0 - 10_000), reason: EndReason::StopRequested };
    by_itself(&holder, "the requests there are done, for which they have at most 20 s");
    holder.replicas[0].row.intent = Intent::Stop { since: NOW, reason: EndReason::StopRequested };
    by_itself(&holder, "the processes there are gone");
}

#[test]
fn what_was_killed_is_looked_for_in_the_hosts_log() {
    let gone = told(1, EndpointState::Starting, vec![ended(1)]);
    let step = gone.next_step.unwrap();
    assert!(step.contains("`journalctl -k` or `dmesg`") && !step.contains("endpoints logs"), "{step}");
    let mut view = endpoint(1, 1);
    view.desired.published = EndpointState::Pending;
    for cause in [FailureCause::EngineKilled, FailureCause::SupervisorLost, FailureCause::Lost] {
        view.failures = failed(&[(1, 0)]);
        view.failures[0].cause = cause;
        let world = world(view.clone(), Vec::new());
        let it = super::super::explain(&world.endpoints[0], &world).reason;
        let step = it.next_step.unwrap_or_default();
        assert!(it.code != ReasonCode::BackingOff || step.contains("`journalctl -k`"), "{cause:?}: {step}");
    }
}

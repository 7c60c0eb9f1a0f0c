use std::net::{Ipv4Addr, SocketAddr};

use uuid::Uuid;

use super::*;
use crate::FailureCause;
use crate::capabilities::Capabilities;
use crate::endpoint::{ReplicaRange, Run, RunCause};
use crate::failure::Failure;
use crate::fetch::Fetch;
use crate::hardware::{Device, DeviceId, DeviceKind, HardwareId, Health, Inventory};
use crate::ids::{EndpointId, EndpointName, ModelName, NodeId, Owner};
use crate::launch::Address;
use crate::route::EndpointLoad;

pub(crate) const NOW: Timestamp = Timestamp(1_000_000);

pub(crate) fn endpoint(min: i64, max: i64) -> EndpointView {
    let owner = Owner::parse("team").unwrap();
    let model = ModelName::parse("dedi/demo").unwrap();
    let desired = crate::endpoint::Desired {
        id: EndpointId::from_uuid(Uuid::from_u128(1)),
        name: EndpointName::compose(&owner, &model, 1),
        owner,
        display_name: String::new(),
        model,
        engine: crate::ids::EngineKind::default(),
        hardware: HardwareId::parse("1x_gpu_80gb").unwrap(),
        replicas: ReplicaRange::new(min, max).unwrap(),
        run: Run::Started,
        run_cause: RunCause::User,
        deleted: false,
        inactive_timeout_minutes: None,
        idle: Default::default(),
        availability_zone: None,
        disable_speculative_decoding: false,
        generation: 1,
        observed_generation: 1,
        published: EndpointState::Started,
        published_at: Timestamp(0),
        created_at: Timestamp(0),
        started_at: Timestamp(0),
    };
    EndpointView {
        desired,
        replicas: Vec::new(),
        failures: Vec::new(),
        target: u32::try_from(min).unwrap(),
        load: Some(EndpointLoad::default()),
        last_activity: NOW,
        bytes_per_device: Some(1),
        fetch: None,
    }
}

pub(crate) fn replica(n: u128, intent: Intent) -> ReplicaView {
    let row = ReplicaRow {
        id: ReplicaId::from_uuid(Uuid::from_u128(n)),
        endpoint: EndpointId::from_uuid(Uuid::from_u128(1)),
        nonce: Nonce::from_uuid(Uuid::from_u128(n)),
        attempt: 1,
        devices: vec![DeviceId::local(format!("d{n}"))],
        intent,
        seen: true,
        ready_at: Some(Timestamp(0)),
        ran_until: Some(Timestamp(0)),
        reserved_at: Timestamp(0),
        gone_at: None,
    };
    ReplicaView { row, out_of_routing: false, in_flight: 0, unanswered: 0 }
}

pub(crate) fn seen(n: u128, nonce: u128, phase: ReplicaPhase) -> ObservedReplica {
    ObservedReplica {
        id: ReplicaId::from_uuid(Uuid::from_u128(n)),
        nonce: Nonce::from_uuid(Uuid::from_u128(nonce)),
        node: NodeId::LOCAL,
        phase,
        isolation: None,
        unready: None,
    }
}

pub(crate) fn ready() -> ReplicaPhase {
    ReplicaPhase::Ready { address: Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))) }
}

pub(crate) fn launching() -> ReplicaPhase {
    ReplicaPhase::Launching { progress_at: NOW, percent: None }
}

fn devices(n: u32) -> Inventory {
    let kind = DeviceKind { product: "gpu".to_owned(), memory_gb: 80, link: String::new() };
    let device = |index| Device {
        id: DeviceId::local(format!("d{}", index + 1)),
        kind: kind.clone(),
        index,
        health: Health::Healthy,
        memory_total_bytes: 80,
        foreign_bytes: 0,
        foreign_processes: Vec::new(),
        leftover_bytes: 0,
        barred: None,
    };
    Inventory { devices: (0..n).map(device).collect(), troubles: Vec::new() }
}

pub(crate) fn world(view: EndpointView, observed: Vec<ObservedReplica>) -> World {
    World {
        now: NOW,
        endpoints: vec![view],
        quarantine: Quarantine::default(),
        observation: Observation::Known(observed),
        listed_at: NOW,
        inventory: devices(2),
        capabilities: Capabilities::default(),
        settings: Settings::default(),
    }
}

pub(crate) fn said(world: &World) -> String {
    let tail = |id: Uuid| id.as_u128();
    let line = |action: &Action| match action {
        Action::Reserve { devices, .. } => format!("reserve {}", devices[0]),
        Action::Spawn { replica } => format!("spawn r{}", tail(replica.uuid())),
        Action::MarkSeen { replica } => format!("mark seen r{}", tail(replica.uuid())),
        Action::MarkReady { replica } => format!("mark ready r{}", tail(replica.uuid())),
        Action::Fail { replica, cause } => format!("fail r{} {cause:?}", tail(replica.uuid())),
        Action::Drain { replica, reason } => {
            format!("drain r{}: {}", tail(replica.uuid()), reason.code())
        }
        Action::Stop { replica, reason, drain } => {
            let drained = match drain {
                DrainOutcome::NotNeeded => String::new(),
                DrainOutcome::Finished | DrainOutcome::TimedOut | DrainOutcome::Interrupted(_) => {
                    format!(", {drain:?}")
                }
            };
            format!("stop r{}: {}{drained}", tail(replica.uuid()), reason.code())
        }
        Action::Remove { replica, nonce, reason } => {
            let (replica, mark) = (tail(replica.uuid()), tail(nonce.uuid()));
            format!("remove r{replica} with mark {mark}: {}", reason.code())
        }
        Action::MarkGone { replica } => format!("mark gone r{}", tail(replica.uuid())),
        Action::Release { replica, leftover_bytes, unmeasured } => {
            let on = unmeasured.iter().map(|it| format!(", {it} not measured")).collect::<String>();
            format!("release r{} with {leftover_bytes} bytes left{on}", tail(replica.uuid()))
        }
        Action::StopIdle { .. } => "stop as idle".to_owned(),
        Action::Publish { from, state, .. } => format!("show {from} -> {state}"),
        Action::Erase { .. } => "erase".to_owned(),
    };
    let lines: Vec<String> = decide(world).iter().map(line).collect();
    if lines.is_empty() { "nothing".to_owned() } else { lines.join("\n") }
}

#[test]
fn a_replica_that_leaves_three_requests_in_a_row_unanswered_is_ended_though_its_probes_are_answered() {
    let mut view = endpoint(1, 1);
    view.replicas = vec![replica(1, Intent::Run)];
    view.replicas[0].unanswered = 2;
    insta::assert_snapshot!(said(&world(view.clone(), vec![seen(1, 1, ready())])), @"nothing");
    view.replicas[0].unanswered = 3;
    insta::assert_snapshot!(said(&world(view.clone(), vec![seen(1, 1, ready())])), @"fail r1 Unresponsive");
    // One that is on its way out anyway is not failed on top.
    view.replicas[0].row.intent = Intent::Drain { since: NOW, reason: EndReason::StopRequested };
    assert!(!said(&world(view, vec![seen(1, 1, ready())])).contains("fail"));
}

#[test]
fn a_replica_that_is_listed_twice_is_as_far_as_the_later_look_saw_it() {
    let mut view = endpoint(1, 1);
    view.replicas = vec![replica(1, Intent::Run)];
    let older_last = world(view.clone(), vec![seen(1, 1, ready()), seen(1, 1, launching())]);
    insta::assert_snapshot!(said(&older_last), @"nothing");
    let older_first = world(view, vec![seen(1, 1, launching()), seen(1, 1, ready())]);
    insta::assert_snapshot!(said(&older_first), @"nothing");
}

#[test]
fn a_stranger_under_the_id_of_a_replica_does_not_hide_it() {
    let mut view = endpoint(1, 1);
    view.replicas = vec![replica(1, Intent::Run)];
    let both = world(view, vec![seen(1, 1, ready()), seen(1, 9, ready())]);
    insta::assert_snapshot!(said(&both), @"remove r1 with mark 9: no_record");
}

#[test]
fn nothing_is_launched_for_a_model_that_is_still_fetched() {
    let mut view = endpoint(1, 1);
    view.desired.published = EndpointState::Pending;
    let fetches = |fetch: Fetch| {
        let mut view = view.clone();
        view.fetch = Some(fetch);
        said(&world(view, Vec::new()))
    };
    let running = Fetch::Running { bytes_done: 1, bytes_total: Some(2), since: NOW };
    insta::assert_snapshot!(fetches(running), @"nothing");
    let failed =
        |n_failures, is_final| Fetch::Failed { what: String::new(), n_failures, retry_at: NOW, is_final };
    insta::assert_snapshot!(fetches(failed(4, false)), @"nothing");
    insta::assert_snapshot!(fetches(failed(5, false)), @"show PENDING -> ERROR");
    insta::assert_snapshot!(fetches(failed(1, true)), @"show PENDING -> ERROR");
    let unreadable = || Fetch::Unreadable { what: String::new() };
    insta::assert_snapshot!(fetches(unreadable()), @"nothing");
    insta::assert_snapshot!(fetches(Fetch::Absent), @"nothing");
    // What was reserved before is let go of, and what runs goes on.
    view.desired.published = EndpointState::Starting;
    view.replicas = vec![replica(1, Intent::Run)];
    view.replicas[0].row.seen = false;
    view.fetch = Some(unreadable());
    insta::assert_snapshot!(said(&world(view.clone(), Vec::new())), @"stop r1: model_unreadable");
    insta::assert_snapshot!(said(&world(view.clone(), vec![seen(1, 1, ReplicaPhase::Unstarted)])), @"stop r1: model_unreadable");
    view.desired.published = EndpointState::Started;
    view.replicas[0].row.seen = true;
    view.replicas[0].row.ready_at = Some(NOW);
    insta::assert_snapshot!(said(&world(view.clone(), vec![seen(1, 1, ready())])), @"nothing");
    (view.fetch, view.replicas) = (None, Vec::new());
    view.desired.published = EndpointState::Pending;
    insta::assert_snapshot!(said(&world(view, Vec::new())), @"reserve d1");
}

#[test]
fn a_launch_that_was_only_written_down_is_begun_again_or_removed_but_never_taken_to_be_gone() {
    let mut view = endpoint(1, 1);
    view.desired.published = EndpointState::Starting;
    view.replicas = vec![replica(1, Intent::Run)];
    let unstarted = || vec![seen(1, 1, ReplicaPhase::Unstarted)];
    insta::assert_snapshot!(said(&world(view.clone(), unstarted())), @"spawn r1");
    view.replicas = vec![replica(1, Intent::Stop { since: NOW, reason: EndReason::StopRequested })];
    view.target = 0;
    insta::assert_snapshot!(said(&world(view.clone(), unstarted())).lines().next().unwrap(), @"remove r1 with mark 1: stop_requested");
    view.replicas = Vec::new();
    insta::assert_snapshot!(said(&world(view, unstarted())).lines().next().unwrap(), @"remove r1 with mark 1: no_record");
}

#[test]
fn a_device_that_cannot_be_asked_ends_nothing_and_starts_nothing() {
    let mut view = endpoint(1, 1);
    view.replicas = vec![replica(1, Intent::Run)];
    let with = |health: Health, observed: Vec<ObservedReplica>| {
        let mut world = world(view.clone(), observed);
        world.inventory.devices[0].health = health;
        said(&world).lines().next().unwrap_or_default().to_owned()
    };
    let faulty = || Health::Faulty(String::new());
    let unknown = || Health::Unknown(String::new());
    insta::assert_snapshot!(with(faulty(), vec![seen(1, 1, ready())]), @"fail r1 DeviceLost");
    insta::assert_snapshot!(with(unknown(), vec![seen(1, 1, ready())]), @"nothing");
    insta::assert_snapshot!(with(unknown(), vec![seen(1, 1, ReplicaPhase::Unstarted)]), @"stop r1: device_lost");
    view.replicas = Vec::new();
    view.desired.published = EndpointState::Pending;
    let mut world = world(view.clone(), Vec::new());
    world.inventory.devices[0].health = unknown();
    insta::assert_snapshot!(said(&world), @"reserve d2");
}

#[test]
fn memory_that_cannot_be_measured_is_waited_for_like_memory_that_is_held() {
    let mut view = endpoint(1, 1);
    view.desired.run = Run::Stopped;
    view.desired.published = EndpointState::Stopping;
    view.replicas = vec![replica(1, Intent::Stop { since: NOW, reason: EndReason::StopRequested })];
    let with = |gone_secs: Option<i64>, change: &dyn Fn(&mut Inventory)| {
        let mut world = world(view.clone(), Vec::new());
        world.endpoints[0].replicas[0].row.gone_at = gone_secs.map(|it| Timestamp(NOW.0 - it * 1_000));
        change(&mut world.inventory);
        said(&world)
    };
    let unknown = |it: &mut Inventory| it.devices[0].health = Health::Unknown(String::new());
    let faulty = |it: &mut Inventory| {
        it.devices[0].health = Health::Faulty(String::new());
        // The last number that was measured, while its engine ran.
        it.devices[0].leftover_bytes = 0;
    };
    let absent = |it: &mut Inventory| drop(it.devices.remove(0));
    for change in [&unknown as &dyn Fn(&mut Inventory), &faulty, &absent] {
        assert_eq!(with(None, change), "mark gone r1");
        assert_eq!(with(Some(29), change), "nothing");
        assert_eq!(with(Some(30), change), "release r1 with 0 bytes left, d1 not measured");
    }
    // Back in time, and measured.
    assert_eq!(with(Some(29), &|_| ()), "release r1 with 0 bytes left");
    // Cores keep nothing, wherever they are.
    view.replicas[0].row.devices = vec![DeviceId::local("cpu-7")];
    assert_eq!(said(&world(view, Vec::new())), "release r1 with 0 bytes left");
}

#[test]
fn a_device_in_quarantine_is_given_to_nobody_and_the_wait_says_so() {
    let mut view = endpoint(1, 1);
    view.desired.published = EndpointState::Pending;
    let mut world = world(view, Vec::new());
    world.inventory.devices[0].leftover_bytes = 3 << 20;
    insta::assert_snapshot!(said(&world), @"reserve d2");
    world.inventory.devices.truncate(1);
    insta::assert_snapshot!(said(&world), @"nothing");
    let status = crate::status::explain(&world.endpoints[0], &world);
    insta::assert_snapshot!(status.reason.message, @"each device needs 0 MiB, at most 0 MiB are free on one; on one, 3 MiB are held by no process that is there, so it is not used");
}

#[test]
fn quarantine_keeps_devices_and_processes() {
    let mut view = endpoint(1, 1);
    view.replicas = vec![replica(1, Intent::Run)];
    let mut world = world(view, vec![seen(1, 1, ready()), seen(1, 7, ready()), seen(8, 8, ready())]);
    let mut other = endpoint(2, 2);
    other.desired.id = EndpointId::from_uuid(Uuid::from_u128(2));
    other.desired.published = EndpointState::Pending;
    world.endpoints.push(other);
    insta::assert_snapshot!(said(&world), @r"
    remove r1 with mark 7: no_record
    remove r8 with mark 8: no_record
    reserve d2
    ");
    world.quarantine(EndpointId::from_uuid(Uuid::from_u128(1)));
    insta::assert_snapshot!(said(&world), @r"
    remove r8 with mark 8: no_record
    reserve d2
    ");
    world.quarantine.has_nameless = true;
    insta::assert_snapshot!(said(&world), @"reserve d2");
}

#[test]
fn who_waits_for_the_next_try_keeps_its_turn() {
    let mut first = endpoint(1, 1);
    first.desired.published = EndpointState::Pending;
    first.failures = vec![Failure {
        attempt: 1,
        cause: FailureCause::EngineExited,
        at: NOW,
        ready_for: Duration::ZERO,
        detail: String::new(),
    }];
    let mut second = first.clone();
    second.failures.clear();
    second.desired.id = EndpointId::from_uuid(Uuid::from_u128(2));
    second.desired.started_at = Timestamp(1);
    let mut world = world(second.clone(), Vec::new());
    world.endpoints.push(first);
    insta::assert_snapshot!(said(&world), @"reserve d2");
    world.inventory.devices.truncate(1);
    insta::assert_snapshot!(said(&world), @"nothing");
    assert!(has_queue(&world, "gpu_80gb"));
    let status = crate::status::explain(&world.endpoints[0], &world);
    assert_eq!(status.reason.code, crate::ReasonCode::WaitingTurn);
    assert!(status.reason.message.ends_with("it needs 1 device, which is kept for it"), "{status:?}");
    // Its time comes before anybody else's.
    let mut later = world.clone();
    later.now = NOW.plus(Duration::from_secs(1));
    let reserved = decide(&later);
    assert!(
        matches!(&reserved[..], [Action::Reserve { endpoint, .. }] if endpoint.uuid().as_u128() == 1),
        "{reserved:?}"
    );
    // One that waits for minutes, or for its user, holds up nobody.
    world.endpoints[1].failures[0].cause = FailureCause::ModelUnusable;
    insta::assert_snapshot!(said(&world).lines().last().unwrap(), @"reserve d1");
}

#[test]
fn an_endpoint_whose_replicas_are_ended_again_and_again_says_when_it_is_launched_next() {
    let mut view = endpoint(1, 1);
    view.desired.published = EndpointState::Pending;
    let ended = |n: i64| Failure {
        attempt: 1,
        cause: FailureCause::Stopped,
        at: Timestamp(NOW.0 - n * 1_000),
        ready_for: Duration::ZERO,
        detail: String::new(),
    };
    view.failures = (0..10).rev().map(ended).collect();
    insta::assert_snapshot!(said(&world(view.clone(), Vec::new())), @"reserve d1");
    view.failures = (0..13).rev().map(ended).collect();
    let paused = world(view.clone(), Vec::new());
    insta::assert_snapshot!(said(&paused), @"nothing");
    let status = crate::status::explain(&paused.endpoints[0], &paused);
    insta::assert_snapshot!(status.reason.message, @"its replicas end again and again soon after they start, the last because it was stopped on the host, by `dedi down` or a signal; the next launch is in 4 s");
    assert!(status.next_retry_at.is_some_and(|it| it > NOW));
    // What waits for the user is not tried again by itself, whatever else happened.
    view.failures.push(Failure { cause: FailureCause::ModelUnusable, ..ended(0) });
    let waits = world(view, Vec::new());
    assert_eq!(crate::status::explain(&waits.endpoints[0], &waits).next_retry_at, None);
}

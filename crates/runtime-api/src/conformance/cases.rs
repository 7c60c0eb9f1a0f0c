//! The cases, each by itself and on a fresh runtime. They end within half a minute or fail.

#![expect(clippy::unwrap_used, clippy::panic, reason = "for tests, which end here")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dedi_domain::{Exit, FailureCause, Nonce, ObservedReplica, PlacedBy, ReplicaPhase};
use uuid::Uuid;

use super::{Behaviour, Subject};
use crate::{Launch, LogCursor, LogError, LogName, RuntimeError};

const WAIT_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const BYTES: usize = 1 << 20;

/// Two launches of one mark are one replica, also where they come at once.
pub async fn ensure_repeated_is_one_replica(subject: &dyn Subject) {
    let launch = subject.launch(Behaviour::Serves);
    let first = subject.runtime().ensure(&launch);
    let (first, second) = tokio::join!(first, subject.runtime().ensure(&launch));
    first.and(second).unwrap();
    until_ready(subject, &launch).await;
    subject.runtime().ensure(&launch).await.unwrap();
    assert!(is_ready(shown(subject, &launch).await.as_ref()));
    remove(subject, &launch).await;
}

/// One launch, one process, ever.
pub async fn ensure_starts_no_launch_anew_that_has_ended(subject: &dyn Subject) {
    let launch = subject.launch(Behaviour::Exits);
    subject.runtime().ensure(&launch).await.unwrap();
    let exit = until_exited(subject, &launch).await;
    subject.runtime().ensure(&launch).await.unwrap();
    assert_eq!(until_exited(subject, &launch).await, exit);
    remove(subject, &launch).await;
}

/// A replica has one mark for good.
pub async fn ensure_refuses_another_mark_for_a_known_replica(subject: &dyn Subject) {
    let launch = subject.launch(Behaviour::Serves);
    subject.runtime().ensure(&launch).await.unwrap();
    until_ready(subject, &launch).await;
    let other = Launch { nonce: new_nonce(), ..launch.clone() };
    let refused = subject.runtime().ensure(&other).await;
    assert!(matches!(refused, Err(RuntimeError::Launch { .. })), "{refused:?}");
    assert!(is_ready(shown(subject, &launch).await.as_ref()));
    remove(subject, &launch).await;
}

/// The error says that it is the model, and nothing is left of the launch.
pub async fn ensure_names_a_model_that_is_not_to_be_had(subject: &dyn Subject) {
    let Some(launch) = subject.launch_without_model() else { return };
    let refused = subject.runtime().ensure(&launch).await;
    assert!(matches!(refused, Err(RuntimeError::Model { .. })), "{refused:?}");
    assert_eq!(shown(subject, &launch).await, None);
}

/// Whether it was ever there or not.
pub async fn remove_of_a_gone_replica_succeeds(subject: &dyn Subject) {
    let launch = subject.launch(Behaviour::Serves);
    subject.runtime().remove(launch.replica, launch.nonce).await.unwrap();
    assert_eq!(shown(subject, &launch).await, None);
    subject.runtime().ensure(&launch).await.unwrap();
    remove(subject, &launch).await;
    subject.runtime().remove(launch.replica, launch.nonce).await.unwrap();
    subject.runtime().end(launch.replica, launch.nonce).await.unwrap();
    assert_eq!(shown(subject, &launch).await, None);
}

/// A process that carries another mark is somebody else's.
pub async fn remove_with_a_foreign_mark_touches_nothing(subject: &dyn Subject) {
    let launch = subject.launch(Behaviour::Serves);
    subject.runtime().ensure(&launch).await.unwrap();
    until_ready(subject, &launch).await;
    subject.runtime().remove(launch.replica, new_nonce()).await.unwrap();
    subject.runtime().end(launch.replica, new_nonce()).await.unwrap();
    for _ in 0..5 {
        assert!(is_ready(shown(subject, &launch).await.as_ref()));
        tokio::time::sleep(LOOK_EVERY).await;
    }
    remove(subject, &launch).await;
}

/// It is never gone from the list, and back in no other phase, while a process of it lives.
pub async fn list_shows_stopping_until_the_last_process_is_gone(subject: &dyn Subject) {
    let launch = subject.launch(Behaviour::EndsSlowly);
    subject.runtime().ensure(&launch).await.unwrap();
    until_ready(subject, &launch).await;
    subject.runtime().remove(launch.replica, launch.nonce).await.unwrap();
    for _ in 0..5 {
        assert_eq!(phase(subject, &launch).await, Some(ReplicaPhase::Stopping));
        tokio::time::sleep(LOOK_EVERY).await;
    }
    subject.let_end(&launch).await;
    let started = Instant::now();
    while let Some(phase) = phase(subject, &launch).await {
        assert_eq!(phase, ReplicaPhase::Stopping);
        assert!(started.elapsed() < WAIT_MAX, "still there after {WAIT_MAX:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The node is that of its devices, and the isolation level one that the runtime has.
pub async fn list_says_on_which_node_and_how_far_apart(subject: &dyn Subject) {
    let launch = subject.launch(Behaviour::Serves);
    subject.runtime().ensure(&launch).await.unwrap();
    until_ready(subject, &launch).await;
    let shown = shown(subject, &launch).await.unwrap();
    assert!(launch.placement.devices().iter().all(|it| *it.id.node() == shown.node), "{shown:?}");
    let level_max = subject.runtime().capabilities().isolation_level_max;
    assert!(shown.isolation.is_none_or(|it| it <= level_max), "{shown:?}");
    remove(subject, &launch).await;
}

/// Nobody starts it again, and what ended it was us.
pub async fn end_keeps_the_record_until_it_is_removed(subject: &dyn Subject) {
    let launch = subject.launch(Behaviour::Serves);
    subject.runtime().ensure(&launch).await.unwrap();
    until_ready(subject, &launch).await;
    subject.runtime().end(launch.replica, launch.nonce).await.unwrap();
    assert_eq!(until_exited(subject, &launch).await.cause, FailureCause::Stopped);
    subject.runtime().ensure(&launch).await.unwrap();
    assert_eq!(until_exited(subject, &launch).await.cause, FailureCause::Stopped);
    remove(subject, &launch).await;
}

/// The exit says why and has the log's last lines; the log outlives the replica.
pub async fn exit_and_log_are_read_after_the_end(subject: &dyn Subject) {
    let launch = subject.launch(Behaviour::Exits);
    subject.runtime().ensure(&launch).await.unwrap();
    let exit = until_exited(subject, &launch).await;
    assert_eq!(exit.cause, FailureCause::EngineExited);
    assert!(exit.code.is_some_and(|it| it != 0), "{exit:?}");
    let last = exit.log_tail.last().unwrap();
    assert_eq!(tail(subject, &launch, 1).await, Some(format!("{last}\n")));
    remove(subject, &launch).await;
    assert_eq!(tail(subject, &launch, 1).await, Some(format!("{last}\n")));
    let attempt = subject.runtime().last_logged_attempt(launch.endpoint).await.unwrap();
    assert_eq!(attempt, launch.attempt);
}

/// From the beginning, from a place that was given out, and from none that was not.
pub async fn log_is_followed_from_a_place_and_forgotten(subject: &dyn Subject) {
    let (launch, runtime) = (subject.launch(Behaviour::Exits), subject.runtime());
    let log = log_of(&launch);
    assert!(runtime.tail_log(log, 1, BYTES, true).await.unwrap().is_none());
    runtime.ensure(&launch).await.unwrap();
    until_exited(subject, &launch).await;
    let all = tail(subject, &launch, usize::MAX).await.unwrap();
    let mut followed = Vec::new();
    let mut at = LogCursor::default();
    loop {
        let chunk = runtime.follow_log(log, &at, 64, true).await.unwrap();
        if chunk.bytes.is_empty() {
            break;
        }
        followed.extend(chunk.bytes);
        at = chunk.next;
        assert!(at.as_str().bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it)), "{at}");
    }
    assert_eq!(String::from_utf8(followed).unwrap(), all);
    let nowhere = runtime.follow_log(log, &LogCursor::new("no.such.place"), BYTES, true).await;
    assert!(matches!(nowhere, Err(LogError::NoPlace)), "{nowhere:?}");
    remove(subject, &launch).await;
    assert!(runtime.logged_endpoints().await.unwrap().contains(&launch.endpoint));
    for _ in 0..2 {
        runtime.forget_logs(launch.endpoint).await.unwrap();
        assert!(runtime.tail_log(log, 1, BYTES, true).await.unwrap().is_none());
    }
    assert!(!runtime.logged_endpoints().await.unwrap().contains(&launch.endpoint));
}

/// Who stopped waiting for it, or never did, sees everything all the same.
pub async fn changed_is_only_a_hint(subject: &dyn Subject) {
    let launch = subject.launch(Behaviour::Serves);
    let _nobody = tokio::time::timeout(LOOK_EVERY, subject.runtime().changed()).await;
    subject.runtime().ensure(&launch).await.unwrap();
    until_ready(subject, &launch).await;
    remove(subject, &launch).await;
}

/// Two looks name the same devices, each once, and a launch's devices are among them.
pub async fn inventory_names_each_device_once(subject: &dyn Subject) {
    let inventory = subject.runtime().inventory().await.unwrap();
    let ids: BTreeSet<_> = inventory.devices.iter().map(|it| &it.id).collect();
    assert_eq!(ids.len(), inventory.devices.len());
    let places: BTreeSet<_> = inventory.devices.iter().map(|it| (it.id.node(), &it.kind, it.index)).collect();
    assert_eq!(places.len(), inventory.devices.len(), "an index is one device's of its kind and node");
    let again = subject.runtime().inventory().await.unwrap();
    assert_eq!(again.devices.iter().map(|it| &it.id).collect::<BTreeSet<_>>(), ids);
    let launch = subject.launch(Behaviour::Serves);
    match subject.runtime().capabilities().placed_by {
        PlacedBy::Decision => assert!(!launch.placement.devices().is_empty()),
        PlacedBy::Runtime => assert!(launch.placement.devices().is_empty()),
    }
    assert!(launch.placement.devices().iter().all(|it| ids.contains(&it.id)), "{ids:?}");
}

fn new_nonce() -> Nonce {
    Nonce::from_uuid(Uuid::new_v4())
}

fn log_of(launch: &Launch) -> LogName {
    LogName { endpoint: launch.endpoint, replica: launch.replica, attempt: launch.attempt }
}

async fn tail(subject: &dyn Subject, launch: &Launch, lines: usize) -> Option<String> {
    let read = subject.runtime().tail_log(log_of(launch), lines, BYTES, true).await.unwrap();
    read.map(|it| String::from_utf8(it.bytes).unwrap())
}

/// What the list shows of it, which carries its mark and stands there once.
async fn shown(subject: &dyn Subject, launch: &Launch) -> Option<ObservedReplica> {
    let listed = subject.runtime().list().await.unwrap();
    assert_eq!(listed.unreadable, []);
    let mut found = listed.replicas.into_iter().filter(|it| it.id == launch.replica);
    let first = found.next();
    assert_eq!(found.next(), None);
    first.inspect(|it| assert_eq!(it.nonce, launch.nonce))
}

async fn phase(subject: &dyn Subject, launch: &Launch) -> Option<ReplicaPhase> {
    shown(subject, launch).await.map(|it| it.phase)
}

fn is_ready(shown: Option<&ObservedReplica>) -> bool {
    shown.is_some_and(|it| matches!(it.phase, ReplicaPhase::Ready { .. }))
}

async fn until(
    subject: &dyn Subject,
    launch: &Launch,
    what: &str,
    is_it: impl Fn(Option<&ObservedReplica>) -> bool,
) -> Option<ObservedReplica> {
    let started = Instant::now();
    loop {
        let shown = shown(subject, launch).await;
        if is_it(shown.as_ref()) {
            return shown;
        }
        assert!(started.elapsed() < WAIT_MAX, "not {what} after {WAIT_MAX:?}, but {shown:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn until_ready(subject: &dyn Subject, launch: &Launch) {
    until(subject, launch, "ready", is_ready).await;
}

async fn until_exited(subject: &dyn Subject, launch: &Launch) -> Exit {
    let has_exited =
        |it: Option<&ObservedReplica>| it.is_some_and(|it| matches!(it.phase, ReplicaPhase::Exited(_)));
    match until(subject, launch, "exited", has_exited).await.map(|it| it.phase) {
        Some(ReplicaPhase::Exited(exit)) => exit,
        other => panic!("{other:?}"),
    }
}

/// Removes it and waits until it is gone.
async fn remove(subject: &dyn Subject, launch: &Launch) {
    subject.runtime().remove(launch.replica, launch.nonce).await.unwrap();
    until(subject, launch, "gone", |it| it.is_none()).await;
}

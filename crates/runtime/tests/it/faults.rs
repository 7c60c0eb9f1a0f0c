//! Engines and shims that die, hang, cling and flood.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dedi_domain::{FailureCause, ReplicaPhase};
use dedi_runtime::process::{IsolationSetting, isolation_level};
use dedi_runtime_api::Runtime;
use dedi_testing::host::has;

use crate::host::{
    Host, is_alive, kill, launch, phase, start_time, until, until_exited, until_gone, until_ready,
    until_true, working_in,
};

#[tokio::test]
async fn an_engine_killed_by_a_stranger_exits_with_its_signal() {
    let host = Host::new();
    let runtime = host.open().await;
    let launch = launch("ok");
    runtime.ensure(&launch).await.unwrap();
    until_ready(&runtime, &launch).await;
    kill(host.engine_pid(&launch));
    let exit = until_exited(&runtime, &launch).await;
    assert_eq!((exit.code, exit.signal, exit.cause), (None, Some(9), FailureCause::EngineKilled));
}

#[tokio::test]
async fn without_its_shim_a_replica_is_an_orphan_and_its_engine_is_ended() {
    let host = Host::new();
    let runtime = host.open().await;
    let launch = launch("ignore-term");
    runtime.ensure(&launch).await.unwrap();
    until_ready(&runtime, &launch).await;
    let engine = host.engine_pid(&launch);
    kill(host.shim_pid(&launch));
    until(&runtime, &launch, "orphaned", |it| it == Some(&ReplicaPhase::Orphaned)).await;
    assert!(is_alive(engine));
    // Its one process was had: nothing is launched a second time.
    runtime.ensure(&launch).await.unwrap();
    assert_eq!(phase(&runtime, &launch).await, Some(ReplicaPhase::Orphaned));
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&runtime, &launch).await;
    assert!(!is_alive(engine));
}

#[tokio::test]
async fn a_shim_killed_with_its_engine_and_the_engines_children_leaves_nothing() {
    // Without it, children that hide from a dead shim are out of reach.
    if !has(
        isolation_level(IsolationSetting::Auto).kills_whole_group,
        "control groups of version 2 that it may make",
    ) {
        return;
    }
    let host = Host::new();
    let runtime = host.open().await;
    let launch = launch("fork.2");
    runtime.ensure(&launch).await.unwrap();
    until_ready(&runtime, &launch).await;
    until_true("forked", || working_in(&host, &launch).len() == 3).await;
    kill(host.shim_pid(&launch));
    kill(host.engine_pid(&launch));
    until(&runtime, &launch, "orphaned", |it| it == Some(&ReplicaPhase::Orphaned)).await;
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&runtime, &launch).await;
    assert_eq!(working_in(&host, &launch), [0; 0]);
}

#[tokio::test]
async fn an_engine_that_ignores_term_is_killed_after_the_grace() {
    let host = Host::new();
    let runtime = host.open().await;
    let launch = launch("ignore-term");
    runtime.ensure(&launch).await.unwrap();
    until_ready(&runtime, &launch).await;
    let engine = host.engine_pid(&launch);
    let started = Instant::now();
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    assert_eq!(phase(&runtime, &launch).await, Some(ReplicaPhase::Stopping));
    until_gone(&runtime, &launch).await;
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(5), "{took:?}");
    assert!(!is_alive(engine));
    assert!(host.log(&launch).contains("still running after the grace"));
}

#[tokio::test]
async fn children_that_left_their_group_and_session_go_too() {
    let host = Host::new();
    let runtime = host.open().await;
    let launch = launch("fork.3");
    runtime.ensure(&launch).await.unwrap();
    until_ready(&runtime, &launch).await;
    until_true("forked", || working_in(&host, &launch).len() == 4).await;
    let all = working_in(&host, &launch);
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&runtime, &launch).await;
    assert!(all.iter().all(|it| !is_alive(*it)), "{all:?}");
}

#[tokio::test]
async fn an_engine_that_dies_takes_its_children_with_it() {
    let host = Host::new();
    let runtime = host.open().await;
    let launch = launch("fork.2");
    runtime.ensure(&launch).await.unwrap();
    until_true("forked", || host.has_engine(&launch) && working_in(&host, &launch).len() == 3).await;
    kill(host.engine_pid(&launch));
    until_exited(&runtime, &launch).await;
    assert_eq!(working_in(&host, &launch), [0; 0]);
}

#[tokio::test]
async fn an_open_socket_is_not_readiness() {
    let host = Host::new();
    let runtime = host.open().await;
    for mode in ["wrong-nonce", "never-ready", "error-500", "garbage", "hang"] {
        let launch = launch(mode);
        runtime.ensure(&launch).await.unwrap();
        until_true("listening", || host.socket(&launch).exists()).await;
        let asked_at = Instant::now();
        while asked_at.elapsed() < Duration::from_millis(300) {
            let phase = phase(&runtime, &launch).await;
            assert!(matches!(phase, Some(ReplicaPhase::Launching { .. })), "{mode}: {phase:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        runtime.remove(launch.replica, launch.nonce).await.unwrap();
        until_gone(&runtime, &launch).await;
    }
}

#[tokio::test]
async fn an_engine_that_stops_answering_is_unresponsive() {
    let mut host = Host::new();
    host.config.probe_timeout_ms = 100;
    let runtime = host.open().await;
    let launch = launch("hang-health.5");
    runtime.ensure(&launch).await.unwrap();
    until_ready(&runtime, &launch).await;
    let is_silent = |it: Option<&ReplicaPhase>| matches!(it, Some(ReplicaPhase::Unresponsive { .. }));
    until(&runtime, &launch, "unresponsive", is_silent).await;
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&runtime, &launch).await;
}

#[tokio::test]
async fn a_flood_of_log_is_bounded_on_disk_and_never_blocks_the_engine() {
    let host = Host::new();
    let runtime = host.open().await;
    let launch = launch("flood-log.64");
    runtime.ensure(&launch).await.unwrap();
    until_ready(&runtime, &launch).await;
    let dir = host.root.path().join("logs").join(launch.endpoint.to_string());
    let sizes: Vec<u64> =
        fs::read_dir(dir).unwrap().map(|it| it.unwrap().metadata().unwrap().len()).collect();
    assert_eq!(sizes.len(), 3);
    assert!(sizes.iter().all(|it| *it <= 256 << 10), "{sizes:?}");
    let tail = runtime.logs().tail(launch.endpoint, 1, (1, 1 << 20), false).unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&tail.bytes), "flood is over\n");
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&runtime, &launch).await;
}

#[tokio::test]
async fn memory_beyond_the_limit_ends_this_replica_and_says_why() {
    if !has(isolation_level(IsolationSetting::Auto).limits_memory, "memory limits that it may set") {
        return;
    }
    let host = Host::new();
    let runtime = host.open().await;
    let mut launch = launch("eat-memory.256");
    launch.memory_limit_bytes = Some(64 << 20);
    runtime.ensure(&launch).await.unwrap();
    let exit = until_exited(&runtime, &launch).await;
    assert_eq!(exit.cause, FailureCause::OutOfMemory, "{exit:?}");
}

#[tokio::test]
async fn an_engine_that_forks_without_end_meets_its_limit() {
    if !has(isolation_level(IsolationSetting::Auto).limits_processes, "limits of processes that it may set") {
        return;
    }
    let mut host = Host::new();
    host.config.pids_max = 16;
    let runtime = host.open().await;
    let launch = launch("fork.100");
    runtime.ensure(&launch).await.unwrap();
    let exit = until_exited(&runtime, &launch).await;
    assert_eq!(exit.cause, FailureCause::ProcessLimit, "{exit:?}");
    assert_eq!(working_in(&host, &launch), [0; 0]);
}

#[tokio::test]
async fn a_stranger_with_a_reused_pid_is_never_signalled() {
    let host = Host::new();
    let runtime = host.open().await;
    let launch = launch("ok");
    runtime.ensure(&launch).await.unwrap();
    until_ready(&runtime, &launch).await;
    let mut sentinel =
        Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().expect("sleep is everywhere");
    let stranger = i32::try_from(sentinel.id()).unwrap();
    let (shim, engine) = (host.shim_pid(&launch), host.engine_pid(&launch));
    kill(shim);
    kill(engine);
    until_true("dead", || !is_alive(shim) && !is_alive(engine)).await;
    // Both pids have been given to somebody else, who was started later.
    let mut who = host.who(&launch);
    for process in ["shim", "engine"] {
        who[process]["pid"] = stranger.into();
        who[process]["start_time"] = (start_time(stranger) - 1).into();
    }
    fs::write(host.dir(&launch).join("shim.json"), who.to_string()).unwrap();
    assert_eq!(phase(&runtime, &launch).await, Some(ReplicaPhase::Orphaned));
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&runtime, &launch).await;
    assert!(is_alive(stranger));
    sentinel.kill().unwrap();
    sentinel.wait().unwrap();
}

//! Replicas whose folder somebody removes while they run: their processes are still seen, and can be ended.

use std::fs;

use dedi_domain::ReplicaPhase;
use dedi_runtime::process::ProcessRuntime;
use dedi_runtime_api::{Launch, Listing, Runtime};

use crate::host::{
    Host, is_alive, kill, launch, phase, start_time, until, until_gone, until_ready, until_true, working_in,
};

/// A ready replica's shim, engine and groups, whose folder is gone since.
async fn lost(host: &Host, runtime: &ProcessRuntime, launch: &Launch) -> (i32, i32, Vec<std::path::PathBuf>) {
    runtime.ensure(launch).await.unwrap();
    until_ready(runtime, launch).await;
    let groups = host.who(launch)["cgroups"].as_array().unwrap().clone();
    let groups = groups.iter().map(|it| it.as_str().unwrap().into()).collect();
    let found = (host.shim_pid(launch), host.engine_pid(launch), groups);
    fs::remove_dir_all(host.dir(launch)).unwrap();
    found
}

async fn until_orphaned(runtime: &ProcessRuntime, launch: &Launch) {
    until(runtime, launch, "orphaned", |it| it == Some(&ReplicaPhase::Orphaned)).await;
}

#[tokio::test]
async fn a_replica_without_its_folder_is_an_orphan_until_it_is_removed() {
    let host = Host::new();
    let runtime = host.open().await;
    for has_shim in [true, false] {
        // Ends at no TERM: its shim keeps the grace, and whoever does without a shim needs none.
        let launch = launch("ignore-term");
        let (shim, engine, groups) = lost(&host, &runtime, &launch).await;
        assert_eq!(phase(&runtime, &launch).await, Some(ReplicaPhase::Orphaned));
        if !has_shim {
            kill(shim);
            until_true("dead", || !is_alive(shim)).await;
        }
        until_orphaned(&runtime, &launch).await;
        assert!(is_alive(engine));
        runtime.remove(launch.replica, launch.nonce).await.unwrap();
        if has_shim {
            assert_eq!(phase(&runtime, &launch).await, Some(ReplicaPhase::Stopping));
        }
        until_gone(&runtime, &launch).await;
        assert!(!is_alive(engine) && !is_alive(shim));
        until_true("no groups", || groups.iter().all(|it| !it.exists())).await;
        assert!(!host.dir(&launch).exists());
        runtime.remove(launch.replica, launch.nonce).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_left_of_a_folder_without_a_record_goes_with_its_replica() {
    let host = Host::new();
    let runtime = host.open().await;
    let launch = launch("ok");
    let (_, engine, _) = lost(&host, &runtime, &launch).await;
    fs::create_dir_all(host.dir(&launch).join("own")).unwrap();
    until_orphaned(&runtime, &launch).await;
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&runtime, &launch).await;
    assert!(!is_alive(engine) && !host.dir(&launch).exists());
}

#[tokio::test]
async fn a_new_server_finds_a_replica_without_its_folder_by_its_marks() {
    let host = Host::new();
    for (has_shim, is_removed) in [(true, true), (true, false), (false, true), (false, false)] {
        let launch = launch("fork.1");
        let first = host.open().await;
        first.ensure(&launch).await.unwrap();
        until_ready(&first, &launch).await;
        until_true("forked", || working_in(&host, &launch).len() == 2).await;
        let all = working_in(&host, &launch);
        let (shim, _, _) = lost(&host, &first, &launch).await;
        first.shutdown().await;
        drop(first);
        if !has_shim {
            kill(shim);
            until_true("dead", || !is_alive(shim)).await;
        }

        let second = host.open().await;
        until_orphaned(&second, &launch).await;
        if is_removed {
            second.remove(launch.replica, launch.nonce).await.unwrap();
        } else {
            second.end(launch.replica, launch.nonce).await.unwrap();
        }
        until_gone(&second, &launch).await;
        assert!(!is_alive(shim) && all.iter().all(|it| !is_alive(*it)), "{all:?}");
        second.shutdown().await;
    }
}

#[tokio::test]
async fn a_process_that_marks_itself_as_a_recorded_replicas_does_not_speak_for_it() {
    let host = Host::new();
    let (first, launch) = (host.open().await, launch("ok"));
    first.ensure(&launch).await.unwrap();
    until_ready(&first, &launch).await;
    let name = fs::read_to_string(host.root.path().join("run/installation")).unwrap();
    let other = crate::host::launch("ok").nonce;
    let mut forger = std::process::Command::new("sleep")
        .arg("60")
        .env("DEDI_REPLICA", format!("{} {} {other}", name.trim().trim_matches('"'), launch.replica))
        .env("DEDI_NONCE", other.to_string())
        .spawn()
        .unwrap();
    let second = host.open().await;
    assert!(matches!(phase(&second, &launch).await, Some(ReplicaPhase::Ready { .. })));
    second.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&second, &launch).await;
    forger.kill().unwrap();
    forger.wait().unwrap();
}

#[tokio::test]
async fn another_installations_processes_without_a_folder_are_not_ours() {
    let (host, other) = (Host::new(), Host::new());
    let (first, launch) = (host.open().await, launch("ok"));
    let (shim, engine, _) = lost(&host, &first, &launch).await;
    let begun = (start_time(shim), start_time(engine));
    // A copy of the folder that knew it, too.
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(host.root.path().join("run"))
        .arg(other.root.path())
        .status();
    assert!(copied.unwrap().success());
    let stranger = other.open().await;
    assert_eq!(stranger.list().await.unwrap(), Listing::default());
    stranger.remove(launch.replica, launch.nonce).await.unwrap();
    stranger.end(launch.replica, launch.nonce).await.unwrap();
    stranger.shutdown().await;
    assert_eq!((start_time(shim), start_time(engine)), begun);
    assert!(is_alive(engine));
    first.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&first, &launch).await;
}

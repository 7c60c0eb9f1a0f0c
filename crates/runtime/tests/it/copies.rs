//! A run folder that is copied, renamed or mounted elsewhere while replicas run.

use std::fs;
use std::path::Path;
use std::process::Command;

use dedi_domain::{FailureCause, ReplicaPhase};
use dedi_runtime::process::{ProcessRuntime, ProcessSetup};
use dedi_runtime_api::Runtime;

use crate::host::{Host, is_alive, kill, launch, phase, until_exited, until_gone, until_ready};

fn copy(from: &Host, to: &Host) {
    let copied = Command::new("cp").arg("-a").arg(from.root.path().join("run")).arg(to.root.path()).status();
    assert!(copied.unwrap().success());
}

async fn open_at(host: &Host, run: &Path) -> ProcessRuntime {
    ProcessRuntime::open(ProcessSetup { run: run.to_owned(), ..host.setup() }).await.unwrap()
}

#[tokio::test]
async fn a_copy_leaves_the_originals_replicas_alone_and_keeps_what_is_known_of_ended_ones() {
    let original = Host::new();
    let (running, ended, new) = (launch("ok"), launch("ok"), launch("ok"));
    let first = original.open().await;
    for launch in [&running, &ended] {
        first.ensure(launch).await.unwrap();
        until_ready(&first, launch).await;
    }
    kill(original.engine_pid(&ended));
    until_exited(&first, &ended).await;
    let (engine, shim) = (original.engine_pid(&running), original.shim_pid(&running));

    let copied = Host::new();
    copy(&original, &copied);
    // Twice: it stays a copy.
    for _ in 0..2 {
        let second = copied.open().await;
        assert_eq!(phase(&second, &running).await, None, "it is adopted");
        assert_eq!(until_exited(&second, &ended).await.cause, FailureCause::EngineKilled);
        second.end(running.replica, running.nonce).await.unwrap();
        second.remove(running.replica, running.nonce).await.unwrap();
        second.shutdown().await;
    }
    let second = copied.open().await;
    second.ensure(&new).await.unwrap();
    until_ready(&second, &new).await;
    second.remove(new.replica, new.nonce).await.unwrap();
    until_gone(&second, &new).await;
    second.remove(ended.replica, ended.nonce).await.unwrap();
    until_gone(&second, &ended).await;
    assert!(is_alive(engine) && is_alive(shim) && copied.dir(&running).exists());

    // The original's server, and its next one, have lost nothing.
    let next = original.open().await;
    for runtime in [&first, &next] {
        assert!(matches!(phase(runtime, &running).await, Some(ReplicaPhase::Ready { .. })));
        assert!(matches!(phase(runtime, &ended).await, Some(ReplicaPhase::Exited(_))));
    }
    first.shutdown().await;
    next.remove(running.replica, running.nonce).await.unwrap();
    until_gone(&next, &running).await;
}

#[tokio::test]
async fn a_run_folder_that_is_renamed_keeps_its_replicas() {
    let host = Host::new();
    let launch = launch("ok");
    let first = host.open().await;
    first.ensure(&launch).await.unwrap();
    until_ready(&first, &launch).await;
    let engine = host.engine_pid(&launch);
    first.shutdown().await;
    drop(first);

    let elsewhere = host.root.path().join("moved");
    fs::rename(host.root.path().join("run"), &elsewhere).unwrap();
    let second = open_at(&host, &elsewhere).await;
    assert!(matches!(phase(&second, &launch).await, Some(ReplicaPhase::Ready { .. })));
    second.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&second, &launch).await;
    assert!(!is_alive(engine));
}

#[tokio::test]
async fn a_run_folder_of_an_older_version_keeps_its_replicas() {
    let host = Host::new();
    let launch = launch("ok");
    let first = host.open().await;
    first.ensure(&launch).await.unwrap();
    until_ready(&first, &launch).await;
    first.shutdown().await;
    drop(first);
    fs::remove_file(host.root.path().join("run/folder")).unwrap();
    let second = host.open().await;
    assert!(matches!(phase(&second, &launch).await, Some(ReplicaPhase::Ready { .. })));
    assert!(host.root.path().join("run/folder").exists());
    second.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&second, &launch).await;
}

//! A replica's ordinary life.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dedi_domain::{Address, EngineSpec, FailureCause, ReplicaPhase};
use dedi_runtime::process::{ProcessRuntime, ProcessSetup};
use dedi_runtime_api::{Launch, Runtime};

use crate::host::{
    Host, is_alive, is_listed, launch, phase, until, until_exited, until_gone, until_ready, until_true,
    working_in,
};

fn embedded(program: &str) -> Vec<EngineSpec> {
    vec![EngineSpec::embedded(program.into())]
}

#[tokio::test]
async fn a_replica_is_launched_answers_and_is_removed_without_a_trace() {
    let host = Host::new();
    let runtime = host.open().await;
    let launch = launch("slow-load.200");
    let started = std::time::Instant::now();
    runtime.ensure(&launch).await.unwrap();
    assert!(matches!(phase(&runtime, &launch).await, Some(ReplicaPhase::Launching { .. })));
    let is_halfway =
        |it: Option<&ReplicaPhase>| matches!(it, Some(ReplicaPhase::Launching { percent: Some(_), .. }));
    until(&runtime, &launch, "loading", is_halfway).await;
    until_ready(&runtime, &launch).await;
    eprintln!("ready {:?} after ensure, 200 ms of them loading", started.elapsed());
    let (shim, engine) = (host.shim_pid(&launch), host.engine_pid(&launch));
    assert_eq!(
        phase(&runtime, &launch).await,
        Some(ReplicaPhase::Ready { address: Address::Unix(host.socket(&launch)) })
    );
    let rss = fs::read_to_string(format!("/proc/{shim}/status")).unwrap();
    let rss = rss.lines().find_map(|it| it.strip_prefix("VmRSS:")).unwrap().trim().to_owned();
    eprintln!("the shim's RSS is {rss}");
    let kib: u64 = rss.split(' ').next().unwrap().parse().unwrap();
    assert!(kib < 8 << 10, "a shim is a few MiB, not {rss}");

    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&runtime, &launch).await;
    assert!(!is_alive(shim) && !is_alive(engine));
    assert!(!host.dir(&launch).exists());
    assert!(host.log(&launch).contains("asked to end"), "logs stay: {}", host.log(&launch));
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    runtime.shutdown().await;
    until_true("reaped", || !is_listed(shim)).await;
}

#[tokio::test]
async fn ensure_twice_is_one_process() {
    let host = Host::new();
    let runtime = host.open().await;
    let launch = launch("ok");
    let started = std::time::Instant::now();
    let (first, second) = tokio::join!(runtime.ensure(&launch), runtime.ensure(&launch));
    first.and(second).unwrap();
    until_ready(&runtime, &launch).await;
    eprintln!("ready {:?} after ensure", started.elapsed());
    runtime.ensure(&launch).await.unwrap();
    assert_eq!(working_in(&host, &launch), [host.engine_pid(&launch)]);
    // Another launch of a replica of that name is refused, not confused with this one.
    let other = Launch { nonce: crate::host::launch("ok").nonce, ..launch.clone() };
    assert!(runtime.ensure(&other).await.unwrap_err().to_string().contains("holds another replica"));
    // A mark that does not fit removes nothing.
    runtime.remove(launch.replica, other.nonce).await.unwrap();
    assert!(matches!(phase(&runtime, &launch).await, Some(ReplicaPhase::Ready { .. })));
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&runtime, &launch).await;
}

#[tokio::test]
async fn a_replica_can_be_removed_while_it_loads_and_is_not_launched_again() {
    let host = Host::new();
    let runtime = host.open().await;
    for mode in ["never-ready", "deaf", "slow-load.60000"] {
        let launch = launch(mode);
        runtime.ensure(&launch).await.unwrap();
        // At once: whatever stage the shim has reached.
        runtime.remove(launch.replica, launch.nonce).await.unwrap();
        until_gone(&runtime, &launch).await;
        assert_eq!(working_in(&host, &launch), [0; 0]);
    }
}

#[tokio::test]
async fn an_ended_replica_shows_that_it_was_stopped_and_is_not_launched_again() {
    let host = Host::new();
    let runtime = host.open().await;
    for mode in ["ok", "ignore-term", "never-ready", "slow-load.60000"] {
        let launch = launch(mode);
        runtime.ensure(&launch).await.unwrap();
        if mode == "ok" {
            until_ready(&runtime, &launch).await;
        }
        // Otherwise at whatever stage the shim has reached.
        runtime.end(launch.replica, launch.nonce).await.unwrap();
        assert_eq!(until_exited(&runtime, &launch).await.cause, FailureCause::Stopped, "{mode}");
        assert_eq!(working_in(&host, &launch), [0; 0]);
        runtime.ensure(&launch).await.unwrap();
        assert_eq!(until_exited(&runtime, &launch).await.cause, FailureCause::Stopped, "{mode}");
        assert_eq!(working_in(&host, &launch), [0; 0]);
        runtime.remove(launch.replica, launch.nonce).await.unwrap();
        until_gone(&runtime, &launch).await;
    }
}

#[tokio::test]
async fn an_engine_that_crashes_leaves_its_code_and_its_last_words() {
    let host = Host::new();
    let runtime = host.open().await;
    for (mode, code, cause) in [
        ("crash-at-start.1", Some(1), FailureCause::EngineExited),
        ("crash-at-start.3", Some(3), FailureCause::ModelUnusable),
        ("crash-at-start.4", Some(4), FailureCause::OutOfMemory),
        ("device-full", None, FailureCause::DeviceOutOfMemory),
    ] {
        let launch = launch(mode);
        runtime.ensure(&launch).await.unwrap();
        let exit = until_exited(&runtime, &launch).await;
        assert_eq!((exit.code, exit.cause), (code, cause), "{mode}");
        if code.is_some() {
            assert_eq!(exit.log_tail.len(), 100);
            assert_eq!(exit.log_tail[99], "line 150 before the crash");
        }
        let shim = host.shim_pid(&launch);
        until_true("reaped", || !is_listed(shim)).await;
        // It had its one process.
        runtime.ensure(&launch).await.unwrap();
        assert!(matches!(phase(&runtime, &launch).await, Some(ReplicaPhase::Exited(_))));
        runtime.remove(launch.replica, launch.nonce).await.unwrap();
        until_gone(&runtime, &launch).await;
    }
}

#[tokio::test]
async fn an_engine_that_cannot_be_started_says_so() {
    let host = Host::new();
    let setup = ProcessSetup { engines: embedded("/nowhere/dedi-engine"), ..host.setup() };
    let runtime = ProcessRuntime::open(setup).await.unwrap();
    let launch = launch("ok");
    runtime.ensure(&launch).await.unwrap();
    let exit = until_exited(&runtime, &launch).await;
    assert_eq!(exit.cause, FailureCause::SpawnFailed);
    assert!(exit.log_tail[0].contains("/nowhere/dedi-engine could not be started"), "{exit:?}");
}

#[tokio::test]
async fn a_shim_that_ends_before_its_work_is_a_failed_launch_and_not_tried_again_and_again() {
    let host = Host::new();
    let setup = ProcessSetup { shim: "/bin/false".into(), engines: embedded("/bin/true"), ..host.setup() };
    let runtime = ProcessRuntime::open(setup).await.unwrap();
    let launch = launch("ok");
    runtime.ensure(&launch).await.unwrap();
    assert_eq!(until_exited(&runtime, &launch).await.cause, FailureCause::SpawnFailed);
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&runtime, &launch).await;
}

#[tokio::test]
async fn a_run_folder_too_deep_for_sockets_is_refused_with_the_numbers() {
    let host = Host::new();
    let run = host.root.path().join("x".repeat(90));
    let opened = ProcessRuntime::open(ProcessSetup { run, ..host.setup() }).await;
    let said = opened.unwrap_err().to_string();
    assert!(said.contains("at most 78 work"), "{said}");
}

#[tokio::test]
async fn what_a_replica_leaves_on_disk_is_readable_by_its_user_only() {
    let host = Host::new();
    let runtime = host.open().await;
    let launch = launch("ok");
    runtime.ensure(&launch).await.unwrap();
    until_ready(&runtime, &launch).await;
    let log = runtime.logs().path(launch.endpoint, 1);
    for path in [host.dir(&launch), host.dir(&launch).join("launch.json"), host.socket(&launch), log] {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} {mode:o}", path.display());
    }
    let engine = host.engine_pid(&launch);
    let env = fs::read_to_string(format!("/proc/{engine}/environ")).unwrap();
    let names: Vec<&str> = env.split('\0').filter_map(|it| Some(it.split_once('=')?.0)).collect();
    assert!(names.contains(&"DEDI_NONCE") && !names.iter().any(|it| it.starts_with("CARGO")), "{names:?}");
    let status = fs::read_to_string(format!("/proc/{engine}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let fds: Vec<_> = fs::read_dir(format!("/proc/{engine}/fd"))
        .unwrap()
        .map(|it| fs::read_link(it.unwrap().path()).unwrap_or_default())
        .filter(|it| it.starts_with("/"))
        .collect();
    assert!(fds.iter().all(|it| it.ends_with("null")), "no file of ours is open in it: {fds:?}");
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&runtime, &launch).await;
}

//! The server dies, at any step, and another one takes over.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dedi_domain::{FailureCause, ReplicaPhase};
use dedi_runtime::process::{ProcessRuntime, ProcessSetup};
use dedi_runtime_api::Runtime;

use crate::host::{
    Host, is_alive, kill, launch, phase, until, until_exited, until_gone, until_ready, until_true, working_in,
};

#[tokio::test]
async fn a_new_server_finds_running_replicas_ready_at_once() {
    let host = Host::new();
    let first = host.open().await;
    let (ready, loading) = (launch("ok"), launch("slow-load.1500"));
    first.ensure(&ready).await.unwrap();
    first.ensure(&loading).await.unwrap();
    until_ready(&first, &ready).await;
    until_true("started", || host.has_engine(&loading)).await;
    let before = (host.who(&ready), host.who(&loading));
    first.shutdown().await;
    drop(first);

    let started = Instant::now();
    let second = host.open().await;
    assert!(matches!(phase(&second, &ready).await, Some(ReplicaPhase::Ready { .. })));
    eprintln!("found ready again after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(1));
    second.ensure(&ready).await.unwrap();
    second.ensure(&loading).await.unwrap();
    until_ready(&second, &loading).await;
    assert_eq!((host.who(&ready), host.who(&loading)), before);
    for launch in [&ready, &loading] {
        assert_eq!(working_in(&host, launch).len(), 1);
        second.remove(launch.replica, launch.nonce).await.unwrap();
        until_gone(&second, launch).await;
    }
}

#[tokio::test]
async fn a_launch_written_but_never_started_is_started_by_the_next_ensure() {
    let host = Host::new();
    let launch = launch("ok");
    {
        // A shim that can't be started stands for a server killed before it started one.
        let setup = ProcessSetup { shim: "/nowhere/dedi".into(), ..host.setup() };
        let crippled = ProcessRuntime::open(setup).await.unwrap();
        assert!(crippled.ensure(&launch).await.is_err());
        assert!(host.dir(&launch).join("launch.json").exists());
        assert_eq!(phase(&crippled, &launch).await, Some(ReplicaPhase::Unstarted));
    }
    let runtime = host.open().await;
    assert_eq!(phase(&runtime, &launch).await, Some(ReplicaPhase::Unstarted));
    runtime.ensure(&launch).await.unwrap();
    until_ready(&runtime, &launch).await;
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&runtime, &launch).await;
}

#[tokio::test]
async fn many_shims_for_one_folder_make_one_engine() {
    let host = Host::new();
    let runtime = host.open().await;
    let launch = launch("ok");
    runtime.ensure(&launch).await.unwrap();
    let mut others: Vec<_> = (0..8)
        .map(|_| {
            Command::new(dedi_testing::shim())
                .arg("shim")
                .arg(host.dir(&launch))
                .stdin(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    until_ready(&runtime, &launch).await;
    let shim = u32::try_from(host.shim_pid(&launch)).unwrap();
    for other in &mut others {
        if other.id() != shim {
            assert!(other.wait().unwrap().success(), "a shim too many ends quietly");
        }
    }
    assert_eq!(working_in(&host, &launch), [host.engine_pid(&launch)]);
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&runtime, &launch).await;
    for mut other in others {
        let _ = other.wait();
    }
}

#[tokio::test]
async fn a_removal_cut_short_is_finished_by_the_next_server() {
    let host = Host::new();
    let first = host.open().await;
    let launch = launch("ignore-term");
    first.ensure(&launch).await.unwrap();
    until_ready(&first, &launch).await;
    let engine = host.engine_pid(&launch);
    first.remove(launch.replica, launch.nonce).await.unwrap();
    first.shutdown().await;
    drop(first);
    assert!(is_alive(engine) && host.dir(&launch).exists());
    let second = host.open().await;
    until_gone(&second, &launch).await;
    assert!(!is_alive(engine) && !host.dir(&launch).exists());
}

#[tokio::test]
async fn an_end_cut_short_is_finished_by_the_next_server_and_its_launch_stays_used() {
    let host = Host::new();
    let (running, unstarted) = (launch("ignore-term"), launch("ok"));
    let first = host.open().await;
    first.ensure(&running).await.unwrap();
    until_ready(&first, &running).await;
    let engine = host.engine_pid(&running);
    first.end(running.replica, running.nonce).await.unwrap();
    first.shutdown().await;
    drop(first);
    assert!(is_alive(engine));
    // As a server leaves it that is killed before it starts the shim, and `dedi down` that is killed after its mark.
    let folder = host.dir(&unstarted);
    let copied = host.dir(&running).join("launch.json");
    let text = fs::read_to_string(copied).unwrap();
    let text = text.replace(&running.replica.to_string(), &unstarted.replica.to_string());
    let text = text.replace(&running.nonce.to_string(), &unstarted.nonce.to_string());
    fs::create_dir(&folder).unwrap();
    for (name, content) in [("launch.json", text.as_str()), ("lock", ""), ("stop", "")] {
        fs::write(folder.join(name), content).unwrap();
    }

    let second = host.open().await;
    for launch in [&running, &unstarted] {
        assert_eq!(until_exited(&second, launch).await.cause, FailureCause::Stopped);
        second.ensure(launch).await.unwrap();
        assert_eq!(working_in(&host, launch), [0; 0]);
        second.remove(launch.replica, launch.nonce).await.unwrap();
        until_gone(&second, launch).await;
    }
    assert!(!is_alive(engine));
}

#[tokio::test]
async fn a_launch_record_that_cannot_be_read_hides_its_replica_alone_and_is_never_taken_for_a_gone_one() {
    let host = Host::new();
    let runtime = host.open().await;
    let (launch, other) = (launch("ok"), launch("ok"));
    for it in [&launch, &other] {
        runtime.ensure(it).await.unwrap();
        until_ready(&runtime, it).await;
    }
    let engine = host.engine_pid(&launch);
    let path = host.dir(&launch).join("launch.json");
    let whole = fs::read(&path).unwrap();
    let shows_one_of_two = async |runtime: &ProcessRuntime, why: &str| {
        let listed = runtime.list().await.unwrap();
        let told: Vec<_> = listed.replicas.iter().map(|it| it.id).collect();
        assert_eq!(told, [other.replica]);
        let [unread] = listed.unreadable.as_slice() else { panic!("{listed:?}") };
        assert!(unread.is(launch.replica) && !unread.is(other.replica), "{unread:?}");
        assert!(unread.why.contains(why) && unread.why.contains("supervisor was process"), "{unread:?}");
        assert!(runtime.inventory().await.is_ok());
    };
    for broken in [&whole[..whole.len() / 2], b"{}", b""] {
        fs::write(&path, broken).unwrap();
        shows_one_of_two(&runtime, "launch.json is no launch record").await;
    }
    fs::remove_file(&path).unwrap();
    shows_one_of_two(&runtime, "launch.json: ").await;
    runtime.remove(other.replica, other.nonce).await.unwrap();
    until_gone(&runtime, &other).await;
    assert!(is_alive(engine));
    runtime.shutdown().await;
    drop(runtime);
    fs::write(&path, b"?").unwrap();
    let next = host.open().await;
    assert_eq!(next.list().await.unwrap().unreadable.len(), 1, "and the next server starts");
    fs::write(&path, whole).unwrap();
    until_ready(&next, &launch).await;
    assert_eq!(host.engine_pid(&launch), engine);
}

#[tokio::test]
async fn a_run_folder_that_lost_its_name_takes_it_from_its_replicas() {
    let host = Host::new();
    let first = host.open().await;
    let launch = launch("ok");
    first.ensure(&launch).await.unwrap();
    until_ready(&first, &launch).await;
    first.shutdown().await;
    drop(first);
    let file = host.root.path().join("run/installation");
    let name = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let second = host.open().await;
    assert!(matches!(phase(&second, &launch).await, Some(ReplicaPhase::Ready { .. })));
    assert_eq!(fs::read_to_string(&file).unwrap(), name);
    second.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&second, &launch).await;
}

#[tokio::test]
async fn time_without_a_server_does_not_count_against_a_replica_that_loads() {
    let host = Host::new();
    let launch = launch("never-ready");
    let first = host.open().await;
    first.ensure(&launch).await.unwrap();
    until_true("started", || host.has_engine(&launch)).await;
    first.shutdown().await;
    drop(first);
    // As if it had been launched an hour ago.
    let path = host.dir(&launch).join("launch.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let hour_ago = record["at"].as_i64().unwrap() - 3_600_000;
    record["at"] = hour_ago.into();
    fs::write(&path, record.to_string()).unwrap();
    let second = host.open().await;
    match phase(&second, &launch).await {
        Some(ReplicaPhase::Launching { progress_at, .. }) => assert!(progress_at.0 > hour_ago + 3_000_000),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn after_a_restart_of_the_host_everything_has_exited() {
    let host = Host::new();
    let runtime = host.open().await;
    let launch = launch("ok");
    runtime.ensure(&launch).await.unwrap();
    until_ready(&runtime, &launch).await;
    let (shim, engine) = (host.shim_pid(&launch), host.engine_pid(&launch));
    kill(shim);
    kill(engine);
    until_true("dead", || !is_alive(shim) && !is_alive(engine)).await;
    for file in ["shim.json", "launch.json"] {
        let path = host.dir(&launch).join(file);
        let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        record["boot_id"] = "another".into();
        fs::write(path, record.to_string()).unwrap();
    }
    assert_eq!(until_exited(&runtime, &launch).await.cause, FailureCause::HostRestarted);
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&runtime, &launch).await;
}

#[tokio::test]
async fn a_shim_ends_its_replica_without_any_server() {
    let host = Host::new();
    let runtime = host.open().await;
    let launch = launch("ignore-term");
    runtime.ensure(&launch).await.unwrap();
    until_ready(&runtime, &launch).await;
    let (shim, engine) = (host.shim_pid(&launch), host.engine_pid(&launch));
    runtime.shutdown().await;
    drop(runtime);
    let pid = rustix::process::Pid::from_raw(shim).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    until_true("ended", || !is_alive(engine) && !is_alive(shim)).await;
    let next = host.open().await;
    let exit = until_exited(&next, &launch).await;
    assert_eq!((exit.signal, exit.cause), (Some(9), FailureCause::Stopped));
}

#[tokio::test]
async fn another_installations_replicas_are_not_ours() {
    let host = Host::new();
    let runtime = host.open().await;
    let launch = launch("ok");
    runtime.ensure(&launch).await.unwrap();
    until_ready(&runtime, &launch).await;
    let engine = host.engine_pid(&launch);
    runtime.shutdown().await;
    let file = host.root.path().join("run/installation");
    fs::write(file, "\"00000000-0000-4000-8000-000000000000\"").unwrap();
    let stranger = host.open().await;
    assert_eq!(phase(&stranger, &launch).await, None);
    stranger.remove(launch.replica, launch.nonce).await.unwrap();
    assert!(stranger.ensure(&launch).await.is_err());
    assert!(is_alive(engine));
    until(&stranger, &launch, "unseen", |it| it.is_none()).await;
}

//! A server in a container that is stopped and started: a new PID namespace each time, with the same host under it.

use std::process::Command;

use dedi_testing::host::has;

use crate::fakes;
use crate::plane::{TestPlane, dedi, until};

/// Runs `dedi` as the first process of a new PID namespace, which ends with it.
fn contained() -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--mount-proc", "--kill-child=KILL"]).arg(dedi());
    unshare
}

fn can_unshare() -> bool {
    let tried = Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "true"]).output();
    has(tried.is_ok_and(|it| it.status.success()), "PID namespaces that it may make")
}

fn restart(plane: &mut TestPlane) {
    plane.kill_server();
    until("the end of the namespace", || plane.processes().is_empty().then_some(()));
    plane.launch_by(plane.serve(contained(), "127.0.0.1:0"));
}

#[test]
fn container_restarts_count_as_restarts_of_the_host() {
    if !can_unshare() {
        return;
    }
    let mut plane = fakes::plane("", "failures_max = 2\n");
    plane.stop_server();
    plane.launch_by(plane.serve(contained(), "127.0.0.1:0"));
    let id = fakes::create(&plane, "ok");
    for n in 1..=4 {
        plane.until_state(&id, "STARTED");
        assert_eq!(plane.chat(&id, "hello").status, 200);
        restart(&mut plane);
        let it = plane.until_state(&id, "STARTED");
        assert!(it["status"]["first_failure"].is_null(), "restart {n}: {it:#}");
    }
    let events = plane.get(&format!("/endpoints/{id}/events?limit=1000")).body;
    let told = |it: &serde_json::Value| it["message"].as_str().unwrap_or("").contains("the host restarted");
    assert!(events["data"].as_array().unwrap().iter().any(told), "{events:#}");
}

#[test]
fn container_beside_one_that_still_runs_starts_nothing_twice() {
    if !can_unshare() {
        return;
    }
    let mut plane = fakes::plane("", "");
    let id = fakes::create(&plane, "ok");
    plane.until_state(&id, "STARTED");
    let engines = plane.engines();
    plane.stop_server();
    // The replica goes on in this namespace, where the new server can't see it.
    plane.launch_by(plane.serve(contained(), "127.0.0.1:0"));
    let why = until("a word about it", || {
        let it = plane.get(&format!("/endpoints/{id}")).body;
        let said = it["status"]["message"].as_str().unwrap_or("").to_owned();
        said.contains("another PID namespace").then_some(said)
    });
    assert!(why.contains("end them there"), "{why}");
    assert_eq!(plane.engines(), engines, "none was started beside it");
    plane.kill_server();
    plane.launch();
    plane.until_state(&id, "STARTED");
    assert_eq!(plane.engines(), engines);
}

//! The loop of passes, and what a new one makes of what an old one left.

use std::time::Duration;

use crate::ControlConfig;
use crate::testing::{FakeRuntime, Plane};

#[tokio::test]
async fn a_restart_adopts_what_runs_and_starts_nothing_twice() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    let before = plane.runtime.launched();
    let plane = plane.restart().await;
    assert_eq!(plane.state(&id).await, "STARTED");
    assert_eq!(plane.runtime.launched(), before);
    assert_eq!(
        plane.control.routes().borrow().routes[0].replicas.len(),
        1,
        "routed before the first request"
    );
    // An hour passed for an endpoint with a timeout of an hour, but nobody counted requests meanwhile.
    plane.later(3_590);
    let plane = plane.restart().await;
    plane.later(20);
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STARTED");
    plane.later(3_600);
    plane.settle_idle().await;
    assert_eq!(plane.get(&id).await["status"]["reason"], "stopped_inactive");
    assert_eq!(plane.state(&id).await, "STOPPED");
}

#[tokio::test]
async fn a_wall_clock_set_back_between_two_runs_leaves_time_in_order() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    let started = plane.now();
    plane.later(-3_600);
    let plane = plane.restart().await;
    assert!(plane.now() >= started, "the store has newer stamps than the clock");
    plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state":"STOPPED"}"#).await;
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STOPPED");
}

#[tokio::test]
async fn the_loop_runs_by_itself_and_ends_when_told() {
    let config = ControlConfig { tick_millis: 50, ..ControlConfig::default() };
    let plane = Plane::with(config, FakeRuntime::with_cores(2)).await;
    let running = plane.run();
    let mut routes = plane.control.routes();
    plane.create("").await;
    let up = routes.wait_for(|it| it.routes.iter().any(|it| !it.replicas.is_empty()));
    tokio::time::timeout(Duration::from_secs(10), up).await.unwrap().unwrap();
    running.end().await;
}

#[tokio::test]
async fn a_panic_in_a_pass_does_not_end_the_loop() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.runtime.set_panics(true);
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "PENDING");
    plane.runtime.set_panics(false);
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STARTED");
}

//! The loop of passes, and what a new one makes of what an old one left.

use std::time::Duration;

use dedi_domain::LoadReport;
use dedi_domain::route::EndpointLoad;

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

#[tokio::test]
async fn a_first_request_that_waits_is_looked_at_at_once_and_those_that_go_on_waiting_at_each_tick() {
    let config = ControlConfig { tick_millis: 60_000, ..ControlConfig::default() };
    let plane = Plane::with(config, FakeRuntime::with_cores(2)).await;
    let body =
        r#"{"model":"dedi/demo","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":0,"max_replicas":1}}"#;
    let id = plane.call("POST", "/v1/endpoints", body).await.json()["id"].as_str().unwrap().to_owned();
    plane.settle_idle().await;
    plane.later(61);
    plane.settle_idle().await;
    plane.settle_idle().await;
    assert_eq!(plane.get(&id).await["status"]["reason"], "asleep");
    let running = plane.run();
    let report = |waiting| {
        let load = EndpointLoad { waiting, ..EndpointLoad::default() };
        let endpoints = [(id.parse().unwrap(), load)].into();
        LoadReport { routes_version: 7, at: plane.now(), endpoints, ..LoadReport::default() }
    };
    let n_passes = || plane.parts().barrier.n_begun();
    running.report(report(0));
    let rest = async || {
        let mut n_before = 0;
        while n_before != n_passes() || plane.parts().barrier.is_in_pass() {
            n_before = n_passes();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        n_before
    };
    // By a clock that the test moves: the loop has had all the turns and all the time that it could want, short of a
    // tick, so what it has not begun by then it does not begin.
    let would_look = async || {
        let n_before = n_passes();
        for _ in 0..10 {
            tokio::time::advance(Duration::from_millis(30)).await;
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
        n_passes() > n_before
    };
    rest().await;
    let mut routes = plane.control.routes();
    running.report(report(1));
    let up = routes.wait_for(|it| it.routes.iter().any(|it| !it.replicas.is_empty()));
    tokio::time::timeout(Duration::from_secs(5), up).await.expect("no tick comes for a minute").unwrap();
    rest().await;
    tokio::time::pause();
    for n in 0..100 {
        running.report(report(1 + n % 3));
        assert!(!would_look().await, "nothing new was reported, the {n}th time");
    }
    running.report(report(0));
    assert!(!would_look().await);
    running.report(LoadReport { routes_version: 8, ..report(0) });
    assert!(would_look().await, "a table that was acknowledged is news");
    tokio::time::resume();
    running.end().await;
}

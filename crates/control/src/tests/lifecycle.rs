//! Whole lives of endpoints: what clients see while the reconciler works.

use std::collections::BTreeMap;
use std::time::Duration;

use dedi_domain::route::EndpointLoad;
use dedi_domain::{EndpointState, FailureCause, LoadReport};
use http::StatusCode;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::testing::{FakeRuntime, Plane, Script, unique};
use crate::{ControlConfig, LogName};

#[tokio::test]
async fn an_endpoint_starts_serves_stops_and_says_each_step() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.runtime.script(Script::Loads);
    plane.settle_idle().await;
    let it = plane.get(&id).await;
    assert_eq!((&it["state"], &it["status"]["reason"]), (&json!("STARTING"), &json!("loading")));
    assert_eq!(it["status"]["progress"]["percent"], 40);
    assert_eq!(it["replicas"][0]["phase"], "launching");
    plane.later(2);
    plane.runtime.script(Script::Ready);
    plane.settle_idle().await;
    let it = plane.get(&id).await;
    assert_eq!((&it["state"], &it["status"]["reason"]), (&json!("STARTED"), &json!("ready")));
    assert_eq!(it["status"]["observed_generation"], it["status"]["generation"]);
    let table = plane.control.routes().borrow().clone();
    assert_eq!((table.routes.len(), table.routes[0].replicas.len()), (1, 1));
    assert_eq!(table.routes[0].replicas[0].engine_model, "dedi/demo");

    let path = format!("/v1/endpoints/{id}");
    let answer = plane.call("PATCH", &path, r#"{"state":"STOPPED"}"#).await;
    assert_eq!(answer.json()["state"], "STOPPING", "the answer shows where it is going");
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STOPPED");
    assert!(plane.runtime.live().is_empty());
    assert!(plane.control.routes().borrow().routes[0].replicas.is_empty());
    let answer = plane.call("PATCH", &path, r#"{"state":"STOPPED"}"#).await;
    assert_eq!((answer.status, &answer.json()["state"]), (StatusCode::OK, &json!("STOPPED")));
    insta::assert_snapshot!(plane.events(&id).await.join("\n"), @r"
    created: created for dedi/demo on 1x_cpu_8gb
    replica_launched: attempt 1: launching on cpu-0
    state_changed: PENDING -> STARTING: 1 replica(s) are being launched
    replica_ready: attempt 1: ready after 2.0 s
    state_changed: STARTING -> STARTED: 1 of 1 replica(s) answer
    stop_requested: stop requested
    replica_draining: attempt 1: takes no new requests
    replica_stopping: attempt 1: being ended
    replica_released: attempt 1: gone, its devices are free
    state_changed: STOPPING -> STOPPED: stopped on request
    ");
    let answer = plane.call("PATCH", &path, r#"{"state":"STARTED"}"#).await;
    assert_eq!(answer.json()["state"], "PENDING");
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STARTED");
    assert_eq!(unique(plane.runtime.launched().iter().map(|it| it.nonce)), 2);
}

#[tokio::test]
async fn a_draining_replica_keeps_its_requests_until_they_end_or_the_limit_passes() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    let replica = plane.runtime.live()[0].id;
    let version = plane.control.routes().borrow().version;
    plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state":"STOPPED"}"#).await;
    let report = |routes_version: u64, in_flight: u32, plane: &Plane| LoadReport {
        routes_version,
        in_flight: BTreeMap::from([(replica, in_flight)]),
        unanswered: BTreeMap::new(),
        endpoints: BTreeMap::new(),
        at: plane.now(),
    };
    plane.settle(&report(version, 0, &plane)).await;
    assert_eq!(plane.runtime.live().len(), 1, "the gateway still routes by the old table");
    let next = plane.control.routes().borrow().version;
    assert!(next > version);
    plane.settle(&report(next, 2, &plane)).await;
    assert_eq!(plane.runtime.live().len(), 1, "two requests are running");
    let it = plane.get(&id).await;
    assert_eq!(it["status"]["reason"], "draining");
    assert_eq!(it["replicas"][0]["in_flight"], 2);
    plane.later(31);
    plane.settle(&report(next, 2, &plane)).await;
    assert!(plane.runtime.live().is_empty(), "the limit has passed");
}

#[tokio::test]
async fn stopped_means_gone_and_a_start_meanwhile_waits_for_that() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    plane.runtime.stops_slowly(true);
    let path = format!("/v1/endpoints/{id}");
    plane.call("PATCH", &path, r#"{"state":"STOPPED"}"#).await;
    plane.settle_idle().await;
    plane.settle_idle().await;
    let it = plane.get(&id).await;
    assert_eq!((&it["state"], &it["replicas"][0]["phase"]), (&json!("STOPPING"), &json!("stopping")));
    assert_eq!(plane.runtime.n_removed(), 1, "told once");
    let answer = plane.call("PATCH", &path, r#"{"state":"STARTED"}"#).await;
    assert_eq!(answer.json()["state"], "STOPPING");
    plane.runtime.stops_slowly(false);
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STARTED");
    assert_eq!(plane.runtime.live().len(), 1);
}

#[tokio::test]
async fn a_deleted_endpoint_leaves_nothing_behind_and_its_id_never_returns() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    let name = plane.get(&id).await["name"].as_str().unwrap().to_owned();
    plane.call("DELETE", &format!("/v1/endpoints/{id}"), "").await;
    plane.settle_idle().await;
    assert!(plane.control.routes().borrow().routes.is_empty());
    assert!(plane.runtime.live().is_empty());
    assert!(plane.shared().store.snapshot().await.unwrap().is_empty());
    let mut again = crate::reconciler::tests::desired(1, 1);
    again.id = id.parse().unwrap();
    let new = |desired| crate::store::NewEndpoint { desired, idempotency: None, quota: 9 };
    assert!(plane.shared().store.insert_endpoint(&new(again), plane.now(), |_| false).await.is_err());
    let mut namesake = crate::reconciler::tests::desired(1, 1);
    namesake.name = dedi_domain::EndpointName::parse(&name).unwrap();
    assert!(plane.shared().store.insert_endpoint(&new(namesake), plane.now(), |_| false).await.is_err());
}

#[tokio::test]
async fn what_an_answer_says_holds_for_requests_from_then_on() {
    // The tick is of no help here.
    let config = ControlConfig { tick_millis: 60_000, ..ControlConfig::default() };
    let plane = Plane::with(config, FakeRuntime::with_cores(2)).await;
    let cancel = CancellationToken::new();
    let (_loads, seen) = watch::channel(LoadReport::default());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(plane.control.clone().run(seen, cancel.clone()));
    let mut routes = plane.control.routes();

    let id = plane.create("").await;
    assert_eq!(routes.borrow().routes.len(), 1, "known to the gateway before the answer");
    let up = routes.wait_for(|it| it.routes.iter().any(|it| !it.replicas.is_empty()));
    tokio::time::timeout(Duration::from_secs(10), up).await.unwrap().unwrap();
    let path = format!("/v1/endpoints/{id}");
    plane.call("PATCH", &path, r#"{"state":"STOPPED"}"#).await;
    {
        let table = routes.borrow();
        assert_ne!(table.routes[0].state, EndpointState::Started);
        assert!(table.routes[0].replicas.is_empty());
    }
    plane.call("DELETE", &path, "").await;
    assert!(routes.borrow().routes.is_empty());

    let made = plane.call("POST", "/v1/keys", r#"{"role":"inference"}"#).await.json();
    let key = made["key"].as_str().unwrap();
    let is_valid = || routes.borrow().keys.check(key, plane.now()).is_some();
    assert!(is_valid());
    plane.call("DELETE", &format!("/v1/keys/{}", made["id"].as_str().unwrap()), "").await;
    assert!(!is_valid());
    cancel.cancel();
    tokio::time::timeout(Duration::from_secs(5), tasks.join_all()).await.unwrap();
}

#[tokio::test]
async fn a_failing_engine_backs_off_then_is_an_error_that_names_itself() {
    let plane = Plane::start().await;
    plane.runtime.script(Script::Exits(FailureCause::EngineExited));
    let id = plane.create("").await;
    plane.settle_idle().await;
    let it = plane.get(&id).await;
    assert_eq!((&it["state"], &it["status"]["reason"]), (&json!("PENDING"), &json!("backing_off")));
    for _ in 0..40 {
        plane.later(2);
        plane.settle_idle().await;
    }
    let it = plane.get(&id).await;
    assert_eq!((&it["state"], &it["status"]["reason"]), (&json!("ERROR"), &json!("engine_exited")));
    let said = it["status"]["message"].as_str().unwrap();
    assert!(said.contains("exit code 7") && said.contains("cannot go on"), "{said}");
    assert!(it["status"]["next_retry_at"].is_string());
    assert_eq!(
        (&it["status"]["first_failure"]["attempt"], &it["status"]["last_failure"]["attempt"]),
        (&json!(1), &json!(5))
    );
    assert_eq!(plane.runtime.launched().len(), 5, "spawns are bounded");
    let log = plane.call("GET", &format!("/v1/endpoints/{id}/logs?attempt=2&tail=1"), "").await;
    assert_eq!(log.text, "cannot go on\n", "the end of the log is kept with the failure");

    plane.runtime.script(Script::Ready);
    let answer = plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state":"STARTED"}"#).await;
    assert_eq!(answer.json()["state"], "PENDING", "a start tries again at once");
    plane.settle_idle().await;
    let it = plane.get(&id).await;
    assert_eq!((&it["state"], &it["status"]["last_failure"]), (&json!("STARTED"), &json!(null)));
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_a_failure_with_its_text() {
    let plane = Plane::start().await;
    plane.runtime.script(Script::FailsToSpawn);
    let id = plane.create("").await;
    plane.settle_idle().await;
    let it = plane.get(&id).await;
    assert_eq!(it["status"]["last_failure"]["reason"], "spawn_failed");
    assert!(it["status"]["last_failure"]["message"].as_str().unwrap().contains("no such program"));
    assert!(it["replicas"].as_array().unwrap().is_empty(), "its devices are free");
}

#[tokio::test]
async fn a_model_that_is_gone_at_launch_waits_for_the_user() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    std::fs::remove_dir_all(plane.dir.path().join("models/dedi")).unwrap();
    plane.settle_idle().await;
    let it = plane.get(&id).await;
    assert_eq!((&it["state"], &it["status"]["reason"]), (&json!("ERROR"), &json!("model_unusable")));
    assert_eq!(it["status"]["next_retry_at"], json!(null));
}

#[tokio::test]
async fn a_runtime_that_cannot_be_asked_ends_and_starts_nothing() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    plane.runtime.set_down(true);
    plane.settle_idle().await;
    let it = plane.get(&id).await;
    assert_eq!((&it["state"], &it["status"]["reason"]), (&json!("STARTED"), &json!("unobserved")));
    assert_eq!(plane.control.routes().borrow().routes[0].replicas.len(), 1, "requests go on");
    plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state":"STOPPED"}"#).await;
    plane.settle_idle().await;
    assert_eq!(plane.runtime.n_removed(), 0);
    plane.runtime.set_down(false);
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STOPPED");
}

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
async fn idleness_needs_a_fresh_report() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    plane.later(4_000);
    plane.settle(&LoadReport::default()).await;
    assert_eq!(plane.state(&id).await, "STARTED");
}

#[tokio::test]
async fn min_zero_starts_once_sleeps_and_wakes_for_a_waiting_request() {
    let plane = Plane::start().await;
    let body = r#"{"model":"dedi/demo","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":0,"max_replicas":2},"inactive_timeout":0}"#;
    let id = plane.call("POST", "/v1/endpoints", body).await.json()["id"].as_str().unwrap().to_owned();
    plane.settle_idle().await;
    assert_eq!((plane.state(&id).await.as_str(), plane.runtime.live().len()), ("STARTED", 1));
    plane.later(61);
    plane.settle_idle().await;
    plane.settle_idle().await;
    assert!(plane.runtime.live().is_empty());
    let it = plane.get(&id).await;
    assert_eq!((&it["state"], &it["status"]["reason"]), (&json!("STARTED"), &json!("asleep")));
    assert!(plane.control.routes().borrow().routes[0].wakes_on_request);
    plane.later(10);
    let load = EndpointLoad { in_flight: 0, waiting: 1, last_finished_at: None };
    let report = LoadReport {
        routes_version: u64::MAX,
        in_flight: BTreeMap::new(),
        unanswered: BTreeMap::new(),
        endpoints: BTreeMap::from([(id.parse().unwrap(), load)]),
        at: plane.now(),
    };
    plane.settle(&report).await;
    assert_eq!(plane.runtime.live().len(), 1);
    assert_eq!(plane.get(&id).await["status"]["reason"], "ready");
}

#[tokio::test]
async fn a_failure_long_ago_does_not_keep_an_endpoint_from_sleeping() {
    let plane = Plane::start().await;
    let body = r#"{"model":"dedi/demo","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":0,"max_replicas":1},"inactive_timeout":0}"#;
    let id = plane.call("POST", "/v1/endpoints", body).await.json()["id"].as_str().unwrap().to_owned();
    plane.settle_idle().await;
    plane.runtime.kill_all(plane.now());
    plane.settle_idle().await;
    plane.later(2);
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STARTED");
    for _ in 0..5 {
        plane.later(61);
        plane.settle_idle().await;
    }
    assert_eq!(plane.get(&id).await["status"]["reason"], "asleep");
    assert_eq!(plane.runtime.launched().len(), 2);
}

#[tokio::test]
async fn concurrent_updates_come_one_after_the_other_and_none_is_lost() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    let path = format!("/v1/endpoints/{id}");
    let bodies: Vec<String> = (1..=24)
        .map(|it| match it % 3 {
            0 => format!(r#"{{"autoscaling":{{"max_replicas":{it}}}}}"#),
            1 => format!(r#"{{"display_name":"n{it}"}}"#),
            _ => format!(r#"{{"inactive_timeout":{it}}}"#),
        })
        .collect();
    let answers =
        futures_util::future::join_all(bodies.iter().map(|it| plane.call("PATCH", &path, it))).await;
    assert!(answers.iter().all(|it| it.status == StatusCode::OK));
    let generations = answers.iter().map(|it| it.json()["status"]["generation"].as_u64().unwrap());
    let sorted = {
        let mut all: Vec<u64> = generations.collect();
        all.sort_unstable();
        all
    };
    assert_eq!(sorted, (2..=25).collect::<Vec<u64>>(), "each answer is one point of one order");
    let last = plane.get(&id).await;
    let by_generation = |field: fn(&serde_json::Value) -> bool| {
        answers
            .iter()
            .map(crate::testing::Answer::json)
            .filter(field)
            .max_by_key(|it| it["status"]["generation"].as_u64())
    };
    let newest = by_generation(|_| true).unwrap();
    for field in ["display_name", "autoscaling", "inactive_timeout"] {
        assert_eq!(newest[field], last[field], "{field}");
    }
}

#[tokio::test]
async fn a_log_is_read_by_its_end_and_followed_until_its_launch_ends() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    let empty = plane.call("GET", &format!("/v1/endpoints/{id}/logs"), "").await;
    assert_eq!((empty.status, empty.text.as_str()), (StatusCode::OK, ""));
    plane.settle_idle().await;
    let log = LogName { endpoint: id.parse().unwrap(), replica: plane.runtime.live()[0].id, attempt: 1 };
    let file = plane.dir.path().join("logs").join(format!("{}-{}", log.endpoint, log.attempt));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "one\ntwo\nthree\n").unwrap();
    let tail = plane.call("GET", &format!("/v1/endpoints/{id}/logs?tail=2"), "").await;
    assert_eq!(tail.text, "two\nthree\n");
    assert_eq!(tail.headers["content-type"], "text/plain; charset=utf-8");
    let path = format!("/v1/endpoints/{id}/logs?tail=1&follow=true&replica={}", log.replica);
    let follow = plane.call("GET", &path, "");
    let write = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut all = std::fs::read(&file).unwrap();
        all.extend(b"four\n");
        std::fs::write(&file, all).unwrap();
        plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state":"STOPPED"}"#).await;
        plane.settle_idle().await;
    };
    let (followed, ()) = tokio::join!(follow, write);
    assert_eq!(followed.text, "three\nfour\n");
    let none = plane.call("GET", &format!("/v1/endpoints/{id}/logs?attempt=9"), "").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_loop_runs_by_itself_and_ends_when_told() {
    let config = ControlConfig { tick_millis: 50, ..ControlConfig::default() };
    let plane = Plane::with(config, FakeRuntime::with_cores(2)).await;
    let cancel = CancellationToken::new();
    let (_loads, seen) = watch::channel(LoadReport::default());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(plane.control.clone().run(seen, cancel.clone()));
    let mut routes = plane.control.routes();
    plane.create("").await;
    let up = routes.wait_for(|it| it.routes.iter().any(|it| !it.replicas.is_empty()));
    tokio::time::timeout(Duration::from_secs(10), up).await.unwrap().unwrap();
    cancel.cancel();
    tokio::time::timeout(Duration::from_secs(5), tasks.join_all()).await.unwrap();
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
async fn a_store_that_cannot_be_read_ends_no_replica() {
    let plane = Plane::start().await;
    plane.create("").await;
    plane.settle_idle().await;
    let kept = plane.runtime.live();
    plane.control.close().await;
    plane.settle_idle().await;
    assert_eq!(plane.runtime.live(), kept);
}

#[tokio::test]
async fn two_endpoints_share_a_host_and_the_second_waits_its_turn() {
    let plane = Plane::with(ControlConfig::default(), FakeRuntime::with_cores(1)).await;
    let first = plane.create("").await;
    plane.settle_idle().await;
    plane.later(1);
    let second = plane.create("").await;
    plane.settle_idle().await;
    let it = plane.get(&second).await;
    assert_eq!((&it["state"], &it["status"]["reason"]), (&json!("PENDING"), &json!("no_capacity")));
    plane.call("DELETE", &format!("/v1/endpoints/{first}"), "").await;
    plane.settle_idle().await;
    assert_eq!(plane.state(&second).await, "STARTED");
    assert_eq!(plane.runtime.live().len(), 1);
}

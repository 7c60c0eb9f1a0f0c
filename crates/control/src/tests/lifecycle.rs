//! Whole lives of endpoints: what clients see while the reconciler works.

use std::collections::BTreeMap;
use std::time::Duration;

use dedi_domain::route::Ending;
use dedi_domain::{DeviceKind, EndpointState, FailureCause, LoadReport};
use http::StatusCode;
use serde_json::json;

use crate::ControlConfig;
use crate::testing::{FakeRuntime, Plane, Script, unique};

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
    state_changed: PENDING -> STARTING: 1 replica is being launched
    replica_ready: attempt 1: ready after 2.0 s, isolation level 1
    state_changed: STARTING -> STARTED: 1 of 1 replica answers
    stop_requested: stop requested
    replica_draining: attempt 1: takes no new requests: a request stopped the endpoint
    replica_stopping: attempt 1: being ended: a request stopped the endpoint
    replica_released: attempt 1: gone, its devices are free; reason: a request stopped the endpoint
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
        keys_used: BTreeMap::new(),
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
    assert!(plane.control.routes().borrow().ending.is_empty());
    plane.later(31);
    plane.runtime.stops_slowly(true);
    plane.settle(&report(next, 2, &plane)).await;
    assert_eq!(plane.runtime.n_removed(), 1, "the limit has passed");
    let ending = plane.control.routes().borrow().ending.clone();
    let why = Ending { stops_endpoint: true, drain_timeout: Duration::from_secs(30) };
    assert_eq!(ending, BTreeMap::from([(replica, why)]));
    let events = plane.events(&id).await;
    let cut = "replica_stopping: attempt 1: being ended: a request stopped the endpoint; 2 requests were not finished within 30 s and are cut";
    assert!(events.iter().any(|it| it == cut), "{events:#?}");
    plane.runtime.stops_slowly(false);
    plane.settle_idle().await;
    assert!(plane.runtime.live().is_empty() && plane.control.routes().borrow().ending.is_empty());
}

#[tokio::test]
async fn what_is_ended_because_it_failed_is_not_called_drained() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    plane.runtime.end_all(FailureCause::EngineExited, plane.now());
    plane.runtime.stops_slowly(true);
    plane.settle_idle().await;
    assert_eq!(plane.get(&id).await["replicas"][0]["phase"], "stopping");
    assert!(plane.control.routes().borrow().ending.is_empty());
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
    assert!(plane.parts().store.snapshot().await.unwrap().is_empty());
    let mut again = crate::reconciler::tests::desired(1, 1);
    again.id = id.parse().unwrap();
    let new = |desired| crate::store::conformance::new(desired);
    assert!(plane.parts().store.insert_endpoint(&new(again), plane.now()).await.is_err());
    let mut namesake = crate::reconciler::tests::desired(1, 1);
    namesake.name = dedi_domain::EndpointName::parse(&name).unwrap();
    assert!(plane.parts().store.insert_endpoint(&new(namesake), plane.now()).await.is_err());
}

#[tokio::test]
async fn what_an_answer_says_holds_for_requests_from_then_on() {
    // The tick is of no help here.
    let config = ControlConfig { tick_millis: 60_000, ..ControlConfig::default() };
    let plane = Plane::with(config, FakeRuntime::with_cores(2)).await;
    let running = plane.run();
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
    running.end().await;
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

#[tokio::test]
async fn a_replica_on_graphics_cards_is_held_to_its_weights_and_some_gigabytes_for_each() {
    let kind = DeviceKind { product: "gpu".into(), memory_gb: 8, link: String::new() };
    let limit = async |gpu_host_memory_gb| {
        let config = ControlConfig { gpu_host_memory_gb, ..ControlConfig::default() };
        let plane = Plane::with(config, FakeRuntime::with_devices(&kind, 2)).await;
        let body = r#"{"model":"dedi/demo","hardware":"2x_gpu_8gb","autoscaling":{"min_replicas":1,"max_replicas":1}}"#;
        let made = plane.call("POST", "/v1/endpoints", body).await;
        assert_eq!(made.status, StatusCode::OK, "{made:?}");
        plane.settle_idle().await;
        plane.runtime.launched()[0].memory_limit_bytes
    };
    // The test's model has 1024 numbers of four bytes.
    assert_eq!(limit(ControlConfig::default().gpu_host_memory_gb).await, Some(4_096 + 2 * 8_000_000_000));
    assert_eq!(limit(1).await, Some(4_096 + 2 * 1_000_000_000));
    assert_eq!(limit(0).await, None);
}

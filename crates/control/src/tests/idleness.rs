//! Endpoints that nobody asks: they stop or sleep on fresh numbers only, and wake for a request.

use std::collections::BTreeMap;

use dedi_domain::LoadReport;
use dedi_domain::route::EndpointLoad;
use serde_json::json;

use crate::testing::Plane;

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
        keys_used: BTreeMap::new(),
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

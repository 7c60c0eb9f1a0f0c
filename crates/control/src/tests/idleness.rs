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

/// An endpoint with these members besides those that it must have; its id.
async fn made(plane: &Plane, min: u32, more: &str) -> String {
    let body = format!(
        r#"{{"model":"dedi/demo","hardware":"1x_cpu_8gb","autoscaling":{{"min_replicas":{min},"max_replicas":2}}{more}}}"#
    );
    let made = plane.call("POST", "/v1/endpoints", &body).await;
    made.json()["id"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned()
}

#[tokio::test]
async fn min_zero_without_a_timeout_sleeps_for_ever_and_says_so() {
    let plane = Plane::start().await;
    for more in ["", r#","inactive_timeout":null"#] {
        let id = made(&plane, 0, more).await;
        let it = plane.get(&id).await;
        assert_eq!(it["inactive_timeout"], json!(null));
        assert!(it["status"]["idle"].as_str().unwrap().ends_with("the next request wakes it"), "{it}");
        plane.settle_idle().await;
        for _ in 0..5 {
            plane.later(3_601);
            plane.settle_idle().await;
        }
        let it = plane.get(&id).await;
        assert_eq!((&it["state"], &it["status"]["reason"]), (&json!("STARTED"), &json!("asleep")));
    }
    let plan = r#"{"model":"dedi/demo","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":0,"max_replicas":2},"inactive_timeout":5}"#;
    let plan = plane.call("POST", "/v1/endpoints?dry_run=true", plan).await.json();
    assert!(plan["idle"].as_str().unwrap().contains("after 5 minutes without one it is STOPPED"), "{plan}");
}

#[tokio::test]
async fn min_zero_with_a_timeout_stops_and_the_reason_keeps_the_one_that_acted() {
    let plane = Plane::start().await;
    let id = made(&plane, 0, r#","inactive_timeout":5"#).await;
    plane.settle_idle().await;
    plane.later(301);
    plane.settle_idle().await;
    plane.settle_idle().await;
    let path = format!("/v1/endpoints/{id}");
    plane.call("PATCH", &path, r#"{"inactive_timeout":90}"#).await;
    let it = plane.get(&id).await;
    assert_eq!((&it["state"], &it["status"]["reason"]), (&json!("STOPPED"), &json!("stopped_inactive")));
    let said = "no inference request for 5 minutes, its inactive_timeout (set when the endpoint was created)";
    assert_eq!(it["status"]["message"], said);
    let events = plane.call("GET", &format!("{path}/events"), "").await.json();
    let told = |it: &serde_json::Value| {
        it["kind"] == "stopped_inactive" && it["message"] == format!("stopped: {said}")
    };
    assert!(events["data"].as_array().unwrap().iter().any(told), "{events}");
}

#[tokio::test]
async fn a_shorter_timeout_counts_from_the_change() {
    let plane = Plane::start().await;
    let id = made(&plane, 1, "").await;
    plane.settle_idle().await;
    plane.later(50 * 60);
    plane.settle_idle().await;
    plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"inactive_timeout":10}"#).await;
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STARTED", "it was allowed to idle until now");
    plane.later(9 * 60);
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STARTED");
    plane.later(61);
    plane.settle_idle().await;
    plane.settle_idle().await;
    let it = plane.get(&id).await;
    assert_eq!(it["state"], "STOPPED");
    assert_eq!(
        it["status"]["message"],
        "no inference request for 10 minutes, its inactive_timeout (set by an update)"
    );
}

#[tokio::test]
async fn the_servers_timeout_goes_when_an_endpoint_is_to_sleep_and_an_asked_one_stays() {
    let plane = Plane::start().await;
    let timeout = async |id: &str, body: &str| {
        let it = plane.call("PATCH", &format!("/v1/endpoints/{id}"), body).await.json();
        it["inactive_timeout"].clone()
    };
    let (to_zero, to_one) =
        (r#"{"autoscaling":{"min_replicas":0}}"#, r#"{"autoscaling":{"min_replicas":1}}"#);
    let default = made(&plane, 1, "").await;
    assert_eq!(timeout(&default, to_zero).await, json!(null));
    assert_eq!(timeout(&default, to_one).await, json!(60));
    let asked = made(&plane, 1, r#","inactive_timeout":60"#).await;
    assert_eq!(timeout(&asked, to_zero).await, json!(60));
    let never = made(&plane, 1, r#","inactive_timeout":null"#).await;
    assert_eq!(timeout(&never, to_zero).await, json!(null));
    assert_eq!(timeout(&never, to_one).await, json!(null));
    // Asked for what it was anyway.
    assert_eq!(timeout(&default, r#"{"inactive_timeout":60}"#).await, json!(60));
    assert_eq!(timeout(&default, to_zero).await, json!(60));
}

//! Why replicas are ended, as their endpoint's events, its replicas and the store say it.

use std::collections::BTreeMap;

use dedi_domain::LoadReport;
use dedi_domain::hardware::Health;
use dedi_domain::route::EndpointLoad;
use serde_json::{Value, json};

use crate::testing::Plane;

/// What is said of a replica from when it begins to end until it is gone.
async fn ends(plane: &Plane, id: &str) -> String {
    const KINDS: [&str; 3] = ["replica_draining", "replica_stopping", "replica_released"];
    let events = plane.parts().store.events(id.parse().unwrap(), 0, 1_000).await.unwrap();
    let ends = events.into_iter().filter(|it| KINDS.contains(&it.kind.as_str()));
    ends.map(|it| it.message).collect::<Vec<_>>().join("\n")
}

async fn patch(plane: &Plane, id: &str, body: &str) {
    let answer = plane.call("PATCH", &format!("/v1/endpoints/{id}"), body).await;
    assert_eq!(answer.status, http::StatusCode::OK, "{answer:?}");
}

/// An endpoint of two replicas that may be as few as `min`.
async fn two(plane: &Plane, min: u32) -> String {
    let body =
        r#"{"model":"dedi/demo","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":2,"max_replicas":2}}"#;
    let id = plane.call("POST", "/v1/endpoints", body).await.json()["id"].as_str().unwrap().to_owned();
    plane.settle_idle().await;
    assert_eq!(plane.runtime.live().len(), 2);
    patch(plane, &id, &format!(r#"{{"autoscaling":{{"min_replicas":{min},"max_replicas":2}}}}"#)).await;
    id
}

/// Of two replicas the one that is in this phase, and the other.
async fn parted(plane: &Plane, id: &str, phase: &str) -> (Value, Value) {
    let it = plane.get(id).await;
    let (of, rest): (Vec<Value>, Vec<Value>) =
        it["replicas"].as_array().unwrap().iter().cloned().partition(|it| it["phase"] == phase);
    assert_eq!((of.len(), rest.len()), (1, 1), "{it:#}");
    (of[0].clone(), rest[0].clone())
}

#[tokio::test]
async fn end_reason_of_a_stop_is_the_request() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    patch(&plane, &id, r#"{"state":"STOPPED"}"#).await;
    plane.settle_idle().await;
    insta::assert_snapshot!(ends(&plane, &id).await, @"
    attempt 1: takes no new requests: a request stopped the endpoint
    attempt 1: being ended: a request stopped the endpoint
    attempt 1: gone, its devices are free; reason: a request stopped the endpoint
    ");
}

#[tokio::test]
async fn end_reason_of_a_delete_is_the_delete() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    plane.call("DELETE", &format!("/v1/endpoints/{id}"), "").await;
    plane.settle_idle().await;
    insta::assert_snapshot!(ends(&plane, &id).await, @"
    attempt 1: takes no new requests: the endpoint was deleted
    attempt 1: being ended: the endpoint was deleted
    attempt 1: gone, its devices are free; reason: the endpoint was deleted
    ");
}

#[tokio::test]
async fn end_reason_of_an_idle_stop_is_the_idleness() {
    let plane = Plane::start().await;
    let id = plane.create(r#","inactive_timeout":5"#).await;
    plane.settle_idle().await;
    plane.later(301);
    plane.settle_idle().await;
    plane.settle_idle().await;
    insta::assert_snapshot!(ends(&plane, &id).await, @"
    attempt 1: takes no new requests: the endpoint had no request for its inactive_timeout
    attempt 1: being ended: the endpoint had no request for its inactive_timeout
    attempt 1: gone, its devices are free; reason: the endpoint had no request for its inactive_timeout
    ");
}

#[tokio::test]
async fn end_reason_of_a_scale_down_has_its_numbers_and_outlives_a_restart_and_a_stop() {
    let plane = Plane::start().await;
    let id = two(&plane, 1).await;
    let report = |plane: &Plane, in_flight: u32| {
        let replicas = plane.runtime.live().into_iter().map(|it| (it.id, in_flight)).collect();
        let load = EndpointLoad { in_flight, waiting: 0, last_finished_at: None };
        LoadReport {
            routes_version: u64::MAX,
            in_flight: replicas,
            unanswered: BTreeMap::new(),
            endpoints: BTreeMap::from([(id.parse().unwrap(), load)]),
            keys_used: BTreeMap::new(),
            at: plane.now(),
        }
    };
    plane.settle(&report(&plane, 1)).await;
    plane.later(301);
    plane.settle(&report(&plane, 1)).await;
    let (draining, ready) = parted(&plane, &id, "draining").await;
    assert_eq!(
        (&draining["reason"], &draining["message"]),
        (&json!("scaled_down"), &json!("one replica fewer is wanted (2 -> 1)"))
    );
    assert_eq!((&ready["phase"], ready.get("reason"), ready.get("message")), (&json!("ready"), None, None));

    let plane = plane.restart().await;
    patch(&plane, &id, r#"{"state":"STOPPED"}"#).await;
    plane.later(31);
    plane.runtime.stops_slowly(true);
    plane.settle(&report(&plane, 1)).await;
    let (stopping, last) = parted(&plane, &id, "stopping").await;
    assert_eq!(
        (&stopping["id"], &stopping["reason"], &last["reason"]),
        (&draining["id"], &json!("scaled_down"), &json!("stop_requested"))
    );
    plane.runtime.stops_slowly(false);
    plane.settle_idle().await;
    let attempt = format!("attempt {}", draining["attempt"]);
    let ends = ends(&plane, &id).await;
    let ends: Vec<String> = ends
        .lines()
        .filter(|it| it.starts_with(&attempt))
        .map(|it| it.replace(&attempt, "attempt 1"))
        .collect();
    insta::assert_snapshot!(ends.join("\n"), @"
    attempt 1: takes no new requests: one replica fewer is wanted (2 -> 1)
    attempt 1: being ended: one replica fewer is wanted (2 -> 1); 1 request was not finished within 30 s and is cut
    attempt 1: gone, its devices are free; reason: one replica fewer is wanted (2 -> 1)
    ");
}

#[tokio::test]
async fn end_reason_of_a_lower_bound_is_the_bound() {
    let plane = Plane::start().await;
    let id = two(&plane, 1).await;
    patch(&plane, &id, r#"{"autoscaling":{"min_replicas":1,"max_replicas":1}}"#).await;
    plane.settle_idle().await;
    plane.settle_idle().await;
    // Of two that are equally old either may go.
    let ends = ends(&plane, &id).await.replace("attempt 2", "attempt 1");
    insta::assert_snapshot!(ends, @"
    attempt 1: takes no new requests: max_replicas was lowered to 1 while 2 replicas ran
    attempt 1: being ended: max_replicas was lowered to 1 while 2 replicas ran
    attempt 1: gone, its devices are free; reason: max_replicas was lowered to 1 while 2 replicas ran
    ");
}

#[tokio::test]
async fn end_reason_of_a_sleep_is_that_nobody_asks() {
    let plane = Plane::start().await;
    let body =
        r#"{"model":"dedi/demo","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":0,"max_replicas":1}}"#;
    let id = plane.call("POST", "/v1/endpoints", body).await.json()["id"].as_str().unwrap().to_owned();
    plane.settle_idle().await;
    plane.later(61);
    plane.settle_idle().await;
    plane.settle_idle().await;
    insta::assert_snapshot!(ends(&plane, &id).await, @"
    attempt 1: takes no new requests: no request needs a replica (1 -> 0)
    attempt 1: being ended: no request needs a replica (1 -> 0)
    attempt 1: gone, its devices are free; reason: no request needs a replica (1 -> 0)
    ");
}

#[tokio::test]
async fn end_reason_of_a_drain_that_takes_too_long_says_what_was_cut() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    let replica = plane.runtime.live()[0].id;
    patch(&plane, &id, r#"{"state":"STOPPED"}"#).await;
    let report = |routes_version, n| LoadReport {
        routes_version,
        in_flight: BTreeMap::from([(replica, n)]),
        at: plane.now(),
        ..LoadReport::default()
    };
    plane.settle(&report(u64::MAX, 2)).await;
    plane.later(31);
    plane.settle(&report(u64::MAX, 2)).await;
    insta::assert_snapshot!(ends(&plane, &id).await, @"
    attempt 1: takes no new requests: a request stopped the endpoint
    attempt 1: being ended: a request stopped the endpoint; 2 requests were not finished within 30 s and are cut
    attempt 1: gone, its devices are free; reason: a request stopped the endpoint
    ");

    patch(&plane, &id, r#"{"state":"STARTED"}"#).await;
    plane.settle_idle().await;
    let version = plane.control.routes().borrow().version;
    patch(&plane, &id, r#"{"state":"STOPPED"}"#).await;
    plane.settle(&report(version, 0)).await;
    plane.later(31);
    plane.settle(&LoadReport { at: plane.now(), ..report(version, 0) }).await;
    let last = ends(&plane, &id).await;
    insta::assert_snapshot!(last.lines().rev().nth(1).unwrap(), @"attempt 2: being ended: a request stopped the endpoint; the gateway did not confirm within 30 s that it sends it no more requests");
}

#[tokio::test]
async fn end_reason_of_a_drain_that_is_interrupted_says_by_what() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    let replica = plane.runtime.live()[0].id;
    patch(&plane, &id, r#"{"state":"STOPPED"}"#).await;
    let report = LoadReport {
        routes_version: u64::MAX,
        in_flight: BTreeMap::from([(replica, 1)]),
        at: plane.now(),
        ..LoadReport::default()
    };
    plane.settle(&report).await;
    plane.runtime.kill_all(plane.now());
    plane.settle(&report).await;
    insta::assert_snapshot!(ends(&plane, &id).await, @"
    attempt 1: takes no new requests: a request stopped the endpoint
    attempt 1: it ended while 1 request was being finished, and they failed: the engine was killed by a signal that dedi did not send; it drained because a request stopped the endpoint
    attempt 1: gone, its devices are free; reason: a request stopped the endpoint
    ");
}

/// A replica that is reserved and whose process does not exist yet.
async fn reserved(plane: &Plane) -> String {
    let id = plane.create("").await;
    plane.runtime.set_panics_for(Some(&id));
    plane.settle_idle().await;
    plane.runtime.set_panics_for(None);
    assert!(plane.runtime.live().is_empty());
    assert_eq!(plane.get(&id).await["replicas"].as_array().unwrap().len(), 1);
    // The next try of what panicked waits.
    plane.later(60);
    id
}

#[tokio::test]
async fn end_reason_of_a_launch_without_its_device_is_the_device() {
    let plane = Plane::start().await;
    let id = reserved(&plane).await;
    plane.runtime.set_health("cpu-0", Health::Faulty("it fell off the bus".to_owned()));
    plane.settle_idle().await;
    insta::assert_snapshot!(ends(&plane, &id).await, @"
    attempt 1: being ended: a device reserved for it is faulty, missing or unreadable
    attempt 1: gone, its devices are free; reason: a device reserved for it is faulty, missing or unreadable
    ");
    assert_eq!(plane.state(&id).await, "STARTED", "on another device");
}

#[tokio::test]
async fn end_reason_of_a_running_replica_on_a_lost_device_is_that_failure() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    plane.runtime.set_health("cpu-0", Health::Faulty("it fell off the bus".to_owned()));
    plane.runtime.stops_slowly(true);
    plane.settle_idle().await;
    assert_eq!(plane.get(&id).await["replicas"][0]["reason"], "device_lost");
    plane.runtime.stops_slowly(false);
    plane.settle_idle().await;
    plane.later(31);
    plane.settle_idle().await;
    insta::assert_snapshot!(ends(&plane, &id).await, @"attempt 1: gone, its devices are free; reason: a device it ran on became faulty");
}

#[tokio::test]
async fn end_reason_of_a_launch_whose_model_changes_is_the_model() {
    let plane = Plane::start().await;
    let id = reserved(&plane).await;
    let path = plane.dir.path().join("models").join("dedi").join("demo");
    let aside = plane.dir.path().join("aside");
    std::fs::rename(&path, &aside).unwrap();
    plane.settle_idle().await;
    insta::assert_snapshot!(ends(&plane, &id).await, @"
    attempt 1: being ended: its model is missing from the model store
    attempt 1: gone, its devices are free; reason: its model is missing from the model store
    ");
}

//! What a launch is expected to take: what launches of that model on that hardware took here before.

use serde_json::{Value, json};

use crate::testing::{Plane, Script};

async fn create(plane: &Plane, hardware: &str) -> String {
    let body = format!(
        r#"{{"model":"dedi/demo","hardware":"{hardware}","autoscaling":{{"min_replicas":1,"max_replicas":1}}}}"#
    );
    plane.call("POST", "/v1/endpoints", &body).await.json()["id"].as_str().unwrap().to_owned()
}

/// An endpoint whose start takes so long; deleted again.
async fn starts_in(plane: &Plane, hardware: &str, secs: i64) {
    plane.runtime.script(Script::Loads);
    let id = create(plane, hardware).await;
    plane.settle_idle().await;
    plane.later(secs);
    plane.runtime.script(Script::Ready);
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STARTED");
    plane.call("DELETE", &format!("/v1/endpoints/{id}"), "").await;
    plane.settle_idle().await;
}

/// Expected and remaining seconds of a launch that is under way for so long.
async fn after(plane: &Plane, id: &str, secs: i64) -> (Value, Value) {
    plane.later(secs);
    plane.settle_idle().await;
    let it = plane.get(id).await["status"]["progress"].clone();
    assert!(it.get("expected_secs").is_some() && it.get("remaining_secs").is_some(), "{it}");
    (it["expected_secs"].clone(), it["remaining_secs"].clone())
}

#[tokio::test]
async fn a_launch_is_expected_to_take_what_others_of_its_kind_took() {
    let plane = Plane::start().await;
    plane.runtime.script(Script::Loads);
    let first = create(&plane, "1x_cpu_8gb").await;
    assert_eq!(after(&plane, &first, 1).await, (json!(null), json!(null)), "nobody has seen one yet");
    plane.call("DELETE", &format!("/v1/endpoints/{first}"), "").await;
    plane.settle_idle().await;

    // The oldest are forgotten, and one slow start among fast ones is no rule.
    for secs in [90, 90, 90, 8, 8, 40, 9, 7] {
        starts_in(&plane, "1x_cpu_8gb", secs).await;
    }
    starts_in(&plane, "2x_cpu_8gb", 30).await;
    plane.runtime.script(Script::Loads);
    let next = create(&plane, "1x_cpu_8gb").await;
    plane.settle_idle().await;
    assert_eq!(after(&plane, &next, 2).await, (json!(8), json!(6)), "although their endpoints are gone");
    assert_eq!(after(&plane, &next, 20).await, (json!(8), json!(0)), "it takes longer than usual");
    let other = create(&plane, "2x_cpu_8gb").await;
    plane.settle_idle().await;
    assert_eq!(after(&plane, &other, 1).await, (json!(30), json!(29)), "other hardware, other time");
}

#[tokio::test]
async fn what_launches_took_is_known_after_a_restart() {
    let plane = Plane::start().await;
    starts_in(&plane, "1x_cpu_8gb", 12).await;
    let plane = plane.restart().await;
    plane.runtime.script(Script::Loads);
    let id = create(&plane, "1x_cpu_8gb").await;
    plane.settle_idle().await;
    assert_eq!(after(&plane, &id, 5).await, (json!(12), json!(7)));
}

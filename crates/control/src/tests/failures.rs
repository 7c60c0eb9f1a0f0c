//! What fails, and what is done about it: engines, programs, models, the runtime and the store.

use dedi_domain::FailureCause;
use serde_json::json;

use crate::testing::{Plane, Script};

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
    let told = plane.control.routes().borrow().routes[0].reason.clone();
    assert!(told.starts_with("it failed 5 times in a row, the last time because the engine exit"), "{told}");
    assert!(
        !told.contains("cannot go on") && !told.contains("code 7"),
        "the log is not for inference: {told}"
    );
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
async fn a_store_that_cannot_be_read_ends_no_replica() {
    let plane = Plane::start().await;
    plane.create("").await;
    plane.settle_idle().await;
    let kept = plane.runtime.live();
    plane.control.close().await;
    plane.settle_idle().await;
    assert_eq!(plane.runtime.live(), kept);
}

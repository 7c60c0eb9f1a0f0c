//! Models that are away for a moment: endpoints wait for them and go on by themselves.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use http::StatusCode;
use serde_json::json;

use crate::testing::{Plane, obey_modes};

const CREATE: &str =
    r#"{"model":"dedi/demo","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":1,"max_replicas":1}}"#;

#[tokio::test]
async fn a_file_that_can_not_be_read_for_a_while_is_no_damage() {
    obey_modes();
    let plane = Plane::start().await;
    let file = plane.dir.path().join("models/dedi/demo/demo.gguf");
    let may = |mode| std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    may(0);
    let refused = plane.call("POST", "/v1/endpoints", CREATE).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{refused:?}");
    assert!(refused.message().contains("demo.gguf: it can't be read (Permission denied"), "{refused:?}");
    may(0o600);
    let id = plane.create("").await;
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STARTED");

    plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state":"STOPPED"}"#).await;
    plane.settle_idle().await;
    may(0);
    plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state":"STARTED"}"#).await;
    plane.later(1);
    plane.settle_idle().await;
    let waits = plane.get(&id).await;
    assert_eq!(
        (&waits["state"], &waits["status"]["reason"], &waits["status"]["last_failure"]),
        (&json!("PENDING"), &json!("model_unreadable"), &json!(null)),
        "{waits:#}"
    );
    may(0o600);
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STARTED");
}

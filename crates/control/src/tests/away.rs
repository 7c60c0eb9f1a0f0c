//! Models that are away for a moment: endpoints wait for them and go on by themselves.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use dedi_domain::FailureCause;
use dedi_testing::hub::{FakeHub, HubRepo};
use http::StatusCode;
use serde_json::{Value, json};

use crate::testing::{FakeRuntime, Gguf, Plane, gguf, obey_modes};
use crate::{ControlConfig, HubConfig};

const CREATE: &str =
    r#"{"model":"dedi/demo","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":1,"max_replicas":1}}"#;

impl Plane {
    /// The disk that the models are on is not there, and its mount point is empty.
    fn unmount(&self) {
        let models = self.dir.path().join("models");
        std::fs::rename(&models, self.dir.path().join("away")).unwrap();
        std::fs::create_dir(models).unwrap();
    }

    fn mount(&self) {
        let models = self.dir.path().join("models");
        std::fs::remove_dir(&models).expect("nothing lies below the mount point");
        std::fs::rename(self.dir.path().join("away"), models).unwrap();
    }

    async fn settled(&self, id: &str) -> Value {
        self.later(1);
        self.settle_idle().await;
        self.get(id).await
    }
}

fn shown(it: &Value) -> (&str, &str) {
    (it["state"].as_str().unwrap(), it["status"]["reason"].as_str().unwrap())
}

#[tokio::test]
async fn endpoints_of_a_host_that_restarted_before_its_models_were_mounted_go_on_when_they_are() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STARTED");
    plane.unmount();
    plane.runtime.end_all(FailureCause::HostRestarted, plane.now());
    let plane = plane.restart().await;
    let waits = plane.settled(&id).await;
    assert_eq!(shown(&waits), ("PENDING", "model_absent"), "{waits:#}");
    assert!(waits["replicas"].as_array().unwrap().is_empty(), "its devices are free: {waits:#}");
    assert_eq!(waits["status"]["next_retry_at"], json!(null));
    let said = waits["status"]["message"].as_str().unwrap();
    assert!(said.contains("the model store does not have dedi/demo"), "{said}");
    assert!(said.contains("models/dedi/demo of the server's data folder"), "{said}");
    assert!(!waits.to_string().contains(plane.dir.path().to_str().unwrap()), "{waits:#}");
    plane.mount();
    let back = plane.settled(&id).await;
    assert_eq!(shown(&back), ("STARTED", "ready"), "{back:#}");
    assert_eq!(back["status"]["last_failure"], json!(null), "nothing of it was a failure");
}

#[tokio::test]
async fn what_runs_goes_on_while_its_model_is_away_and_is_not_replaced_before_it_is_back() {
    let plane = Plane::start().await;
    let body = CREATE.replace(r#""min_replicas":1,"max_replicas":1"#, r#""min_replicas":2,"max_replicas":2"#);
    let id = plane.call("POST", "/v1/endpoints", &body).await.json()["id"].as_str().unwrap().to_owned();
    plane.settle_idle().await;
    let live = plane.runtime.live();
    assert_eq!(live.len(), 2);
    plane.unmount();
    plane.runtime.end(live[0].id, FailureCause::EngineKilled, plane.now());
    let waits = plane.settled(&id).await;
    assert_eq!(shown(&waits), ("STARTED", "degraded"), "{waits:#}");
    let said = waits["status"]["message"].as_str().unwrap();
    assert!(said.starts_with("1 of 2 replicas answers; the model store does not have dedi/demo"), "{said}");
    plane.mount();
    plane.later(10);
    assert_eq!(shown(&plane.settled(&id).await), ("STARTED", "ready"));
}

#[tokio::test]
async fn a_model_that_goes_between_the_look_and_the_launch_is_no_failure() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    let (here, there) = (plane.dir.path().join("models/dedi"), plane.dir.path().join("away"));
    // The first pass reserves, and the second has looked at the models when it lists what runs.
    plane.runtime.at_list(1, move || std::fs::rename(here, there).unwrap());
    plane.settle_idle().await;
    let waits = plane.settled(&id).await;
    assert_eq!(shown(&waits), ("PENDING", "model_absent"), "{waits:#}");
    assert_eq!(waits["status"]["last_failure"], json!(null));
    assert!(waits["replicas"].as_array().unwrap().is_empty(), "{waits:#}");
    std::fs::rename(plane.dir.path().join("away"), plane.dir.path().join("models/dedi")).unwrap();
    assert_eq!(shown(&plane.settled(&id).await), ("STARTED", "ready"));
    assert_eq!(plane.runtime.launched().len(), 1);
}

#[tokio::test]
async fn what_was_here_once_is_not_fetched_below_a_mount_point_that_is_away() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().file("x.gguf", &gguf(&Gguf::default())));
    let config = HubConfig {
        base_url: hub.base_url(),
        disk_reserve_mib: 0,
        fetch_on_create: true,
        ..HubConfig::default()
    };
    let plane = Plane::with_hub(ControlConfig::default(), FakeRuntime::with_cores(4), config).await;
    let body = CREATE.replace("dedi/demo", "org/x");
    let id = plane.call("POST", "/v1/endpoints", &body).await.json()["id"].as_str().unwrap().to_owned();
    for _ in 0..400 {
        if plane.settled(&id).await["state"] == "STARTED" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(plane.state(&id).await, "STARTED");
    let n_asked = hub.asked().len();
    plane.unmount();
    // In the server that fetched it, and in the next one.
    plane.runtime.end_all(FailureCause::HostRestarted, plane.now());
    assert_eq!(shown(&plane.settled(&id).await), ("PENDING", "model_absent"));
    let plane = plane.restart().await;
    assert_eq!(shown(&plane.settled(&id).await), ("PENDING", "model_absent"));
    assert_eq!(hub.asked().len(), n_asked, "nobody asks the hub");
    plane.mount();
    assert_eq!(plane.settled(&id).await["state"], "STARTED");
}

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

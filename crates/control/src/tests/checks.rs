//! Model files that change after they were right: read again before they are loaded, and refused by name.

use std::path::Path;
use std::time::Duration;

use dedi_testing::hub::{FakeHub, HubRepo};
use http::StatusCode;
use serde_json::{Value, json};

use crate::testing::{FakeRuntime, Gguf, Plane, gguf};
use crate::{ControlConfig, HubConfig};

const DEMO: &str = "models/dedi/demo/demo.gguf";

/// Turns one bit of the last byte, which no header has. With `in_secret` the time of modification is set back.
fn flip(file: &Path, in_secret: bool) {
    let modified = std::fs::metadata(file).unwrap().modified().unwrap();
    let mut bytes = std::fs::read(file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(file, bytes).unwrap();
    if in_secret {
        std::fs::File::options().write(true).open(file).unwrap().set_modified(modified).unwrap();
    }
}

impl Plane {
    async fn check(&self, body: &Value) -> Value {
        let answer = self.call("POST", "/v1/checks", &body.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let path = format!("/v1/checks/{}", body["model"].as_str().unwrap());
        for _ in 0..2_000 {
            let check = self.call("GET", &path, "").await.json();
            if check["state"] != "running" {
                return check;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the check does not end");
    }

    async fn set_state(&self, id: &str, state: &str) -> Value {
        self.call("PATCH", &format!("/v1/endpoints/{id}"), &json!({"state": state}).to_string()).await;
        // What fails in the very millisecond of a start is held to be from before it.
        self.later(1);
        self.settle_idle().await;
        self.get(id).await
    }
}

#[tokio::test]
async fn a_flipped_byte_of_a_pulled_model_is_an_error_that_names_the_file() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().file("x.gguf", &gguf(&Gguf::default())).file("README.md", b"hello"));
    let config = HubConfig {
        base_url: hub.base_url(),
        disk_reserve_mib: 0,
        fetch_on_create: true,
        ..HubConfig::default()
    };
    let plane = Plane::with_hub(ControlConfig::default(), FakeRuntime::with_cores(4), config).await;
    let body =
        r#"{"model":"org/x","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":1,"max_replicas":1}}"#;
    let id = plane.call("POST", "/v1/endpoints", body).await.json()["id"].as_str().unwrap().to_owned();
    for _ in 0..400 {
        plane.settle_idle().await;
        if plane.state(&id).await == "STARTED" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(plane.state(&id).await, "STARTED");
    assert_eq!(plane.set_state(&id, "STOPPED").await["state"], "STOPPED");
    let n_launched = plane.runtime.launched().len();

    flip(&plane.dir.path().join("models/org/x/x.gguf"), false);
    let broken = plane.set_state(&id, "STARTED").await;
    assert_eq!((&broken["state"], &broken["status"]["reason"]), (&json!("ERROR"), &json!("model_unusable")));
    let said = broken["status"]["message"].as_str().unwrap();
    assert!(said.contains("x.gguf: its content is not what it was when it was pulled"), "{said}");
    assert!(said.contains("pull the model again"), "{said}");
    assert_eq!(plane.runtime.launched().len(), n_launched, "nothing loads it");
    let refused = plane.check(&json!({"model": "org/x", "accept": true})).await;
    assert!(refused["message"].as_str().unwrap().contains("came from a hub"), "{refused}");

    flip(&plane.dir.path().join("models/org/x/x.gguf"), false);
    assert_eq!(plane.set_state(&id, "STARTED").await["state"], "STARTED", "it is right again");
}

#[tokio::test]
async fn a_model_put_there_by_hand_is_what_it_was_when_first_used_until_somebody_says_otherwise() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STARTED");
    plane.set_state(&id, "STOPPED").await;
    flip(&plane.dir.path().join(DEMO), false);
    let plane = plane.restart().await;
    let broken = plane.set_state(&id, "STARTED").await;
    let said = broken["status"]["message"].as_str().unwrap();
    assert!(broken["state"] == "ERROR" && said.contains("demo.gguf: its content is not"), "{broken}");
    assert!(said.contains("dedi models verify dedi/demo --accept"), "{said}");
    let accepted = plane.check(&json!({"model": "dedi/demo", "accept": true})).await;
    assert_eq!((&accepted["state"], &accepted["files"]), (&json!("done"), &json!(1)));
    assert_eq!(plane.set_state(&id, "STARTED").await["state"], "STARTED");
}

#[tokio::test]
async fn a_file_changed_in_secret_is_found_by_a_check_and_not_loaded_after_it() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    let whole = plane.check(&json!({"model": "dedi/demo"})).await;
    assert_eq!((&whole["state"], &whole["percent"]), (&json!("done"), &json!(100)), "{whole}");
    plane.set_state(&id, "STOPPED").await;
    flip(&plane.dir.path().join(DEMO), true);
    let found = plane.check(&json!({"model": "dedi/demo"})).await;
    assert_eq!(found["state"], "failed");
    assert!(found["message"].as_str().unwrap().starts_with("demo.gguf: its content is not"), "{found}");
    assert_eq!(plane.set_state(&id, "STARTED").await["state"], "ERROR");
}

#[tokio::test]
async fn a_check_of_nothing_is_refused() {
    let plane = Plane::start().await;
    for (body, status) in [
        (json!({}), StatusCode::BAD_REQUEST),
        (json!({"model": 5}), StatusCode::BAD_REQUEST),
        (json!({"model": "dedi/demo", "accept": "yes"}), StatusCode::BAD_REQUEST),
        (json!({"model": "no/such"}), StatusCode::NOT_FOUND),
        (json!({"model": "../demo"}), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(plane.call("POST", "/v1/checks", &body.to_string()).await.status, status, "{body}");
    }
    assert_eq!(plane.call("GET", "/v1/checks/dedi/demo", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn small_model_is_not_held_up_by_large_ones_and_a_check_that_nobody_needs_ends() {
    let plane =
        Plane::with_hub(ControlConfig::default(), FakeRuntime::with_cores(8), HubConfig::default()).await;
    let put = |model: &str, n_bytes: u64| {
        let file = plane.dir.path().join(format!("models/{model}/m.gguf"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, gguf(&Gguf::default())).unwrap();
        if n_bytes > 0 {
            // Read as slowly as any other, and on no disk.
            std::fs::File::options().write(true).open(&file).unwrap().set_len(n_bytes).unwrap();
        }
    };
    let create = async |model: &str| {
        let body = json!({"model": model, "hardware": "1x_cpu_8gb",
            "autoscaling": {"min_replicas": 1, "max_replicas": 1}});
        let answer = plane.call("POST", "/v1/endpoints", &body.to_string()).await;
        answer.json()["id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    };
    let large = ["big/a", "big/b", "big/c"];
    let mut ids = Vec::new();
    for model in large {
        put(model, 16 << 30);
        ids.push(create(model).await);
    }
    plane.settle_idle().await;
    for id in &ids[..2] {
        let seen = plane.get(id).await;
        assert_eq!(seen["status"]["reason"], "checking", "{seen:#}");
        assert!(seen["status"]["message"].as_str().unwrap().contains(" of 16384 MiB"), "{seen:#}");
    }
    let third = plane.get(&ids[2]).await;
    let said = third["status"]["message"].as_str().unwrap();
    assert_eq!(third["status"]["reason"], "checking", "{third:#}");
    assert!(
        said.contains("after those of 2 other models, of which ") && said.contains(" of 32768 MiB"),
        "{said}"
    );

    put("a/small", 0);
    let small = create("a/small").await;
    for _ in 0..400 {
        plane.settle_idle().await;
        if plane.state(&small).await == "STARTED" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(plane.state(&small).await, "STARTED", "{:#}", plane.get(&small).await);
    assert_eq!(plane.get(&ids[0]).await["status"]["reason"], "checking", "it is long not done");

    for id in &ids {
        let gone = plane.call("DELETE", &format!("/v1/endpoints/{id}"), "").await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT, "{gone:?}");
    }
    plane.settle_idle().await;
    for model in large {
        let path = format!("/v1/checks/{model}");
        let mut left = 2_000;
        while plane.call("GET", &path, "").await.status != StatusCode::NOT_FOUND {
            left -= 1;
            assert!(left > 0, "the check of {model} goes on, and nobody needs it");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

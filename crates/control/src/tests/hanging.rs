//! A model store on a disk that hangs: what needs no model goes on, and nobody waits without end.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use dedi_domain::Role;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::testing::{Hang, Plane};

/// Longest any condition is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

impl Plane {
    fn manifest(&self) -> PathBuf {
        self.dir.path().join("models/dedi/demo/manifest.json")
    }

    /// Passes until the endpoint has this reason.
    async fn until_reason(&self, id: &str, reason: &str) -> Value {
        let start = Instant::now();
        loop {
            timeout(PATIENCE, self.settle_idle()).await.expect("a pass ends");
            let seen = self.get(id).await;
            if seen["status"]["reason"] == reason {
                return seen;
            }
            assert!(start.elapsed() < PATIENCE, "waited for {reason}: {seen:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn set(&self, id: &str, state: &str) {
        self.call("PATCH", &format!("/v1/endpoints/{id}"), &json!({"state": state}).to_string()).await;
        self.later(1);
    }
}

fn n_threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[tokio::test]
async fn a_model_store_that_hangs_holds_up_launches_and_nothing_else() {
    let plane = Plane::start().await;
    let (stopped, killed) = (plane.create("").await, plane.create("").await);
    plane.settle_idle().await;
    assert_eq!(plane.state(&killed).await, "STARTED");
    let hang = Hang::at(&plane.manifest());
    plane.set(&stopped, "STOPPED").await;
    plane.until_reason(&stopped, "stopped_by_user").await;
    plane.runtime.kill_all(plane.now());
    let waits = plane.until_reason(&killed, "model_unreadable").await;
    assert_eq!(waits["state"], "PENDING", "{waits:#}");
    let said = waits["status"]["message"].as_str().unwrap();
    assert!(said.contains("did not answer within 5 s"), "{said}");
    let told = plane.control.routes().borrow().routes.iter().map(|it| it.reason.clone()).collect::<Vec<_>>();
    assert!(told.iter().any(|it| it.contains("its files can't be read")), "{told:?}");

    // One read hangs and is not joined by another, whatever is asked and however often is looked.
    let n_before = n_threads();
    plane.later(10);
    plane.set(&stopped, "STARTED").await;
    for _ in 0..20 {
        plane.settle_idle().await;
    }
    // Those of other tests, which run beside this one, end by themselves.
    let start = Instant::now();
    while n_threads() > n_before + 1 {
        assert!(start.elapsed() < PATIENCE, "{n_before} threads, then {}", n_threads());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let waits = plane.get(&stopped).await;
    assert_eq!((&waits["state"], &waits["status"]["last_failure"]), (&json!("PENDING"), &json!(null)));
    assert_eq!(plane.runtime.launched().len(), 2, "nothing is launched on what was long ago");

    drop(hang);
    plane.until_reason(&stopped, "ready").await;
    plane.until_reason(&killed, "ready").await;
}

#[tokio::test]
async fn a_launch_that_meets_a_hanging_disk_has_not_failed() {
    let plane = Plane::start().await;
    plane.settle_idle().await;
    let id = plane.create("").await;
    let hang = Hang::at(&plane.manifest());
    // Nobody knows yet that the disk hangs: there is nothing but the launch's own read to tell.
    let waits = plane.until_reason(&id, "model_unreadable").await;
    assert_eq!((&waits["state"], &waits["status"]["last_failure"]), (&json!("PENDING"), &json!(null)));
    assert!(waits["replicas"].as_array().unwrap().is_empty(), "its devices are free: {waits:#}");
    drop(hang);
    plane.until_reason(&id, "ready").await;
}

const CREATE: &str =
    r#"{"model":"dedi/demo","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":1,"max_replicas":1}}"#;

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_while_a_pass_waits() {
    let plane = Plane::start().await;
    plane.create("").await;
    let text = plane.key("team", Role::Inference).await;
    plane.settle_idle().await;
    let list = plane.call("GET", "/v1/keys", "").await.json();
    let id =
        list["data"].as_array().unwrap().iter().find(|it| it["role"] == "inference").unwrap()["id"].clone();
    let knows = || plane.control.routes().borrow().keys.check(&text, plane.now()).is_some();
    assert!(knows());
    let _hang = Hang::at(&plane.manifest());
    let running = plane.run();
    let barrier = &plane.parts().barrier;
    let begins = async {
        while !barrier.is_in_pass() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, begins).await.expect("a pass begins");
    let n_before = barrier.n_begun();
    let revoked = plane.call("DELETE", &format!("/v1/keys/{}", id.as_str().unwrap()), "").await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    assert!(!knows());
    assert!(barrier.is_in_pass() && barrier.n_begun() == n_before, "by the request and not by the pass");
    running.end().await;
    assert!(!knows());
}

#[tokio::test]
async fn requests_that_read_models_are_told_to_come_back() {
    let plane = Plane::start().await;
    let hang = Hang::at(&plane.manifest());
    let asked = async |method: &str, path: &str, body: &str| {
        let answer = timeout(PATIENCE, plane.call(method, path, body)).await.expect(path);
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, Some("temporarily_unavailable")),
            "{path}: {answer:?}"
        );
        assert!(answer.message().contains("did not answer within 5 s"), "{path}: {answer:?}");
        assert!(answer.headers.contains_key("retry-after-ms"), "{path}: {answer:?}");
    };
    tokio::join!(
        asked("GET", "/v1/models", ""),
        asked("GET", "/v1/hardware?model=dedi/demo", ""),
        asked("POST", "/v1/endpoints", CREATE),
        asked("POST", "/v1/checks", r#"{"model":"dedi/demo"}"#),
        // No place is left for this one.
        asked("GET", "/v1/models/dedi%2Fdemo", ""),
    );
    drop(hang);
    assert_eq!(plane.call("GET", "/v1/models", "").await.status, StatusCode::OK);
}

//! Downloads against a hub of our own that misbehaves.

mod endpoints;
mod mirrors;
mod places;
mod refusals;
mod tenants;
mod whole;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use dedi_testing::hub::{FakeHub, HubRequest};
use http::StatusCode;
use serde_json::Value;

use crate::testing::{FakeRuntime, Gguf, Plane, gguf};
use crate::{ControlConfig, HubConfig};

/// Longest any condition is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
const TOKEN: &str = "hf_canary";

fn config(hub: &FakeHub) -> HubConfig {
    HubConfig {
        base_url: hub.base_url(),
        backoff_base_millis: 10,
        idle_timeout_secs: 2,
        disk_reserve_mib: 0,
        ..HubConfig::default()
    }
}

async fn plane(hub: HubConfig) -> Plane {
    Plane::with_hub(ControlConfig::default(), FakeRuntime::with_cores(4), hub).await
}

/// A valid model of some size.
fn weights() -> Vec<u8> {
    gguf(&Gguf { n_elements: 40_000, ..Gguf::default() })
}

async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(it) = condition().await {
            return it;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited {} s for {what}", PATIENCE.as_secs());
}

impl Plane {
    /// Pulls and waits for the end.
    async fn pull(&self, source: &str) -> Value {
        let answer = self.call("POST", "/v1/pulls", &format!(r#"{{"model":"{source}"}}"#)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let model = answer.json()["model"].as_str().unwrap().to_owned();
        until("the end of a pull", async || {
            let pull = self.call("GET", &format!("/v1/pulls/{model}"), "").await.json();
            matches!(pull["state"].as_str(), Some("done" | "failed")).then_some(pull)
        })
        .await
    }

    fn models(&self) -> PathBuf {
        self.dir.path().join("models")
    }

    fn stored(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.models().join(path)).ok()
    }

    async fn listed(&self) -> Vec<String> {
        let list = self.call("GET", "/v1/models", "").await.json();
        list.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn of_file<'a>(asked: &'a [HubRequest], name: &str) -> Vec<&'a HubRequest> {
    asked.iter().filter(|it| it.path.ends_with(name)).collect()
}

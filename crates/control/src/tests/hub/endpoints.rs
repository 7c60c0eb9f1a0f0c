//! Endpoints that fetch their model themselves, and those that may not.

use dedi_testing::hub::{FakeHub, HubRepo, Trick};
use http::StatusCode;

use super::{config, of_file, plane, until, weights};
use crate::HubConfig;

const CREATE: &str =
    r#"{"model":"org/x","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":1,"max_replicas":1}}"#;

#[tokio::test]
async fn an_endpoint_waits_for_its_model_and_says_how_far_it_is() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().tricky("x.gguf", &weights(), Trick::Stalls { after: 80_000 }));
    let plane = plane(HubConfig { fetch_on_create: true, tries_max: 1, ..config(&hub) }).await;
    let made = plane.call("POST", "/v1/endpoints", CREATE).await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let seen = until("some progress", async || {
        plane.settle_idle().await;
        let seen = plane.get(&id).await;
        (seen["status"]["progress"]["bytes_done"].as_u64() == Some(80_000)).then_some(seen)
    })
    .await;
    assert_eq!((&seen["state"], &seen["status"]["reason"]), (&"PENDING".into(), &"downloading".into()));
    assert_eq!(seen["status"]["progress"]["stage"], "downloading");
    assert_eq!(seen["status"]["progress"]["percent"], 49);
    assert!(plane.runtime.launched().is_empty(), "nothing is launched before the model is here");

    let failed = until("the failure", async || {
        plane.settle_idle().await;
        let seen = plane.get(&id).await;
        (seen["status"]["reason"] == "download_failed").then_some(seen)
    })
    .await;
    assert_eq!(failed["state"], "PENDING", "what may pass is no ERROR yet");
    assert!(failed["status"]["message"].as_str().unwrap().contains("nothing came for"), "{failed}");
    assert!(failed["status"]["next_retry_at"].is_string(), "{failed}");

    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    plane.later(1);
    until("the start", async || {
        plane.settle_idle().await;
        (plane.state(&id).await == "STARTED").then_some(())
    })
    .await;
    assert_eq!(plane.runtime.launched()[0].model.name.as_str(), "org/x");
}

#[tokio::test]
async fn a_model_that_is_not_there_is_an_error_until_it_is_mended() {
    let hub = FakeHub::start();
    let plane = plane(HubConfig { fetch_on_create: true, ..config(&hub) }).await;
    let body =
        r#"{"model":"org/x","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":0,"max_replicas":1}}"#;
    let id = plane.call("POST", "/v1/endpoints", body).await.json()["id"].as_str().unwrap().to_owned();
    let broken = until("the error", async || {
        plane.settle_idle().await;
        let seen = plane.get(&id).await;
        (seen["state"] == "ERROR").then_some(seen)
    })
    .await;
    assert_eq!(broken["status"]["reason"], "download_failed");
    assert!(broken["status"]["message"].as_str().unwrap().contains("the hub has no model org/x"), "{broken}");

    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    plane.later(1);
    plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state":"STARTED"}"#).await;
    until("the sleep of an endpoint that needs no replica", async || {
        plane.settle_idle().await;
        (plane.state(&id).await == "STARTED").then_some(())
    })
    .await;
    let kinds = plane.events(&id).await;
    assert!(kinds.iter().any(|it| it.contains("PENDING -> ERROR")), "{kinds:?}");
}

#[tokio::test]
async fn a_stop_calls_the_download_off_and_a_start_goes_on_with_it() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().tricky("x.gguf", &weights(), Trick::Stalls { after: 80_000 }));
    let plane = plane(HubConfig { fetch_on_create: true, idle_timeout_secs: 60, ..config(&hub) }).await;
    let id = plane.call("POST", "/v1/endpoints", CREATE).await.json()["id"].as_str().unwrap().to_owned();
    let part = plane.models().join(".pulls/org/x/x.gguf.part");
    until("some bytes on disk", async || {
        plane.settle_idle().await;
        std::fs::metadata(&part).is_ok_and(|it| it.len() == 80_000).then_some(())
    })
    .await;
    plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state":"STOPPED"}"#).await;
    until("the stop", async || {
        plane.settle_idle().await;
        (plane.state(&id).await == "STOPPED").then_some(())
    })
    .await;
    assert!(plane.parts().pulls.all().is_empty(), "nobody waits, so nothing is fetched");

    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state":"STARTED"}"#).await;
    until("the start", async || {
        plane.settle_idle().await;
        (plane.state(&id).await == "STARTED").then_some(())
    })
    .await;
    let asked = hub.asked();
    assert_eq!(of_file(&asked, "x.gguf").last().unwrap().range.as_deref(), Some("bytes=80000-"));

    let refused = plane.call("DELETE", "/v1/models/org/x", "").await;
    assert_eq!(refused.json()["error"]["code"], "model_in_use", "{refused:?}");
    assert!(refused.message().contains(&id), "{refused:?}");
    assert_eq!(plane.call("DELETE", &format!("/v1/endpoints/{id}"), "").await.status, StatusCode::NO_CONTENT);
    plane.settle_idle().await;
    assert_eq!(plane.call("DELETE", "/v1/models/org/x", "").await.status, StatusCode::NO_CONTENT);
    assert!(!plane.models().join("org").exists());
    assert_eq!(plane.call("DELETE", "/v1/models/org/x", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn without_the_operators_word_a_create_fetches_nothing() {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    let plane = plane(config(&hub)).await;
    assert_eq!(plane.call("POST", "/v1/endpoints", CREATE).await.status, StatusCode::NOT_FOUND);
    assert!(hub.asked().is_empty());
}

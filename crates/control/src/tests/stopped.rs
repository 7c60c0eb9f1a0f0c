//! Stopped means measured: the memory of its devices is back, or an event says who has it.

use dedi_domain::DeviceKind;
use dedi_domain::hardware::Health;
use serde_json::json;

use crate::ControlConfig;
use crate::testing::{FakeRuntime, Plane};

#[tokio::test]
async fn memory_that_comes_back_is_waited_for_before_stopped_is_said() {
    let plane = Plane::with(ControlConfig::default(), FakeRuntime::with_cores(1)).await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    plane.runtime.hold("cpu-0", 700 << 20, &[]);
    plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state":"STOPPED"}"#).await;
    plane.settle_idle().await;
    let it = plane.get(&id).await;
    assert_eq!((&it["state"], &it["status"]["reason"]), (&json!("STOPPING"), &json!("releasing")));
    assert_eq!(it["replicas"][0]["phase"], "releasing", "its device is not free");
    assert!(plane.runtime.live().is_empty());
    plane.later(5);
    plane.runtime.hold("cpu-0", 0, &[]);
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STOPPED");
    let events = plane.events(&id).await;
    assert!(
        events.contains(&"replica_released: attempt 1: gone, its devices are free; reason: a request stopped the endpoint".to_owned()),
        "{events:?}"
    );
}

#[tokio::test]
async fn memory_that_stays_away_is_told_with_device_bytes_and_process_and_given_to_nobody() {
    let plane = Plane::with(ControlConfig::default(), FakeRuntime::with_cores(1)).await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    plane.runtime.hold("cpu-0", 700 << 20, &["412 python"]);
    let path = format!("/v1/endpoints/{id}");
    plane.call("PATCH", &path, r#"{"state":"STOPPED"}"#).await;
    plane.settle_idle().await;
    plane.later(31);
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STOPPED", "it is not waited for without end");
    let events = plane.events(&id).await.join("\n");
    let told = "gone, but 700 MiB are still held on cpu-0, where these run: 412 python; nothing is placed there before it is back";
    assert!(events.contains(told), "{events}");

    plane.call("PATCH", &path, r#"{"state":"STARTED"}"#).await;
    plane.settle_idle().await;
    let it = plane.get(&id).await;
    assert_eq!((&it["state"], &it["status"]["reason"]), (&json!("PENDING"), &json!("memory_in_use")));
    plane.runtime.hold("cpu-0", 0, &[]);
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STARTED");
}

#[tokio::test]
async fn memory_that_cannot_be_measured_is_not_said_to_be_free() {
    let gpu = DeviceKind { product: "nvidia_h100".into(), memory_gb: 80, link: "sxm".into() };
    let plane = Plane::with(ControlConfig::default(), FakeRuntime::with_devices(&gpu, 1)).await;
    let body = r#"{"model":"dedi/demo","hardware":"1x_nvidia_h100_80gb_sxm","autoscaling":{"min_replicas":1,"max_replicas":1}}"#;
    let made = plane.call("POST", "/v1/endpoints", body).await.json();
    let id = made["id"].as_str().unwrap().to_owned();
    plane.settle_idle().await;
    let unknown = Health::Unknown("the driver's library was replaced".to_owned());
    plane.runtime.set_health("nvidia_h100-0", unknown);
    plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state":"STOPPED"}"#).await;
    plane.settle_idle().await;
    assert!(plane.runtime.live().is_empty());
    let it = plane.get(&id).await;
    assert_eq!((&it["state"], &it["status"]["reason"]), (&json!("STOPPING"), &json!("releasing")));
    plane.later(31);
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STOPPED");
    let events = plane.events(&id).await.join("\n");
    let told = "gone, but the memory of nvidia_h100-0 could not be measured: the driver's library was replaced; nothing is placed there before it is back";
    assert!(events.contains(told) && !events.contains("its devices are free"), "{events}");
}

//! What a runtime is given, and what becomes of a launch that it refuses for its model.

use dedi_domain::engine::ModelFormat;
use dedi_domain::{Capabilities, ModelName, PlacedBy};
use dedi_runtime_api::{ModelRef, ModelResolver, ModelUnavailable, Placement, Resources};
use serde_json::json;

use crate::ControlConfig;
use crate::models::StoredModels;
use crate::testing::{FakeRuntime, Plane, Script};

#[tokio::test]
async fn launch_of_a_model_that_went_away_waits_and_has_not_failed() {
    let plane = Plane::start().await;
    plane.runtime.script(Script::LacksModel);
    let id = plane.create("").await;
    plane.settle_idle().await;
    let it = plane.get(&id).await;
    assert_eq!((&it["state"], &it["status"]["last_failure"]), (&json!("STARTING"), &json!(null)));
    plane.runtime.script(Script::Ready);
    plane.later(60);
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STARTED");
}

#[tokio::test]
async fn launch_names_its_model_and_the_devices_that_were_reserved() {
    let plane = Plane::start().await;
    plane.create("").await;
    plane.settle_idle().await;
    let launch = plane.runtime.launched().remove(0);
    assert_eq!((launch.model.name.as_str(), launch.model.revision), ("dedi/demo", None));
    let devices: Vec<String> = launch.placement.devices().iter().map(|it| it.id.to_string()).collect();
    assert_eq!(devices, ["cpu-0"]);
}

#[tokio::test]
async fn launch_leaves_the_place_to_a_runtime_that_finds_it_and_reserves_no_device() {
    let runtime = FakeRuntime::with_cores(4);
    runtime.set_capabilities(Capabilities {
        measures_memory: false,
        placed_by: PlacedBy::Runtime,
        ..Capabilities::default()
    });
    let plane = Plane::with(ControlConfig::default(), runtime).await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    let launch = plane.runtime.launched().remove(0);
    let Placement::Delegated(Resources { hardware, bytes_per_device }) = launch.placement else {
        panic!("{:?}", launch.placement)
    };
    assert!(hardware.as_str() == "1x_cpu_8gb" && bytes_per_device > 0, "{hardware} {bytes_per_device}");
    let it = plane.get(&id).await;
    assert_eq!((&it["state"], &it["replicas"][0]["devices"]), (&json!("STARTED"), &json!([])));
    let events = plane.events(&id).await;
    assert!(events.iter().any(|it| it.contains("launching on what the runtime finds for it")), "{events:?}");
    plane.call("DELETE", &format!("/v1/endpoints/{id}"), "").await;
    plane.settle_idle().await;
    let gone = plane.call("GET", &format!("/v1/endpoints/{id}"), "").await;
    assert_eq!(gone.status, http::StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn resolver_gives_the_revision_that_was_asked_for_and_no_other() {
    let plane = Plane::start().await;
    let models = StoredModels::new(plane.dir.path().join("models"));
    let of = |name: &str, revision: Option<&str>| ModelRef {
        name: ModelName::parse(name).unwrap(),
        revision: revision.map(str::to_owned),
    };
    let found = models.resolve(&of("dedi/demo", None)).await.unwrap();
    assert!(found.path.ends_with("models/dedi/demo/demo.gguf"), "{found:?}");
    assert_eq!(found.format, Some(ModelFormat::Gguf));
    let absent = models.resolve(&of("dedi/other", None)).await;
    assert_eq!(absent, Err(ModelUnavailable::NotNow("the model store has no `dedi/other`".to_owned())));
    let Err(ModelUnavailable::Unusable(said)) = models.resolve(&of("dedi/demo", Some("0123"))).await else {
        panic!("another revision was given")
    };
    assert!(said.contains("the endpoint was created with revision 0123"), "{said}");
}

//! The published description against the routes, the values and the limits that are in force.

use std::collections::BTreeSet;

use dedi_api::enums::{self, DesiredState, KeyRole, ReplicaPhase};
use dedi_api::openapi;
use dedi_domain::endpoint::REPLICAS_MAX;
use dedi_domain::{EndpointState, Role};
use http::StatusCode;
use serde_json::{Value, json};

use crate::http::v1::ROUTES;
use crate::testing::Plane;

/// The described operations of the control plane.
fn described(document: &Value) -> BTreeSet<(String, String)> {
    let is_ours = |path: &str, method: &str| {
        let tag = &document["paths"][path][method.to_ascii_lowercase()]["tags"][0];
        tag != "Inference" && tag != "Server"
    };
    openapi::operations(document).into_iter().filter(|(method, path)| is_ours(path, method)).collect()
}

/// A path with the names of its variables taken out.
fn plain(path: &str) -> String {
    path.split('/').map(|it| if it.starts_with('{') { "{}" } else { it }).collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_is_described_and_every_description_has_a_route() {
    let routes: BTreeSet<_> =
        ROUTES.iter().map(|(method, route)| ((*method).to_owned(), plain(route))).collect();
    assert_eq!(routes.len(), ROUTES.len(), "each once");
    let described = described(&openapi::document("0"));
    let described: BTreeSet<_> = described.into_iter().map(|(method, path)| (method, plain(&path))).collect();
    assert_eq!(described, routes);
}

#[tokio::test]
async fn a_described_path_takes_the_described_methods_and_no_other() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    let described = described(&openapi::document("0"));
    for path in described.iter().map(|(_, path)| path).collect::<BTreeSet<_>>() {
        let answer = plane
            .call(
                "TRACE",
                &path.replace("{endpointId}", &id).replace("{keyId}", "k").replace("{model}", "a/b"),
                "",
            )
            .await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let allowed = answer.headers["allow"].to_str().unwrap();
        let allowed = allowed.split(',').map(str::trim).filter(|it| *it != "HEAD");
        let wanted = described.iter().filter(|(_, it)| it == path).map(|(method, _)| method.as_str());
        assert_eq!(allowed.collect::<BTreeSet<_>>(), wanted.collect::<BTreeSet<_>>(), "{path}");
    }
}

#[test]
fn described_values_and_limits_are_those_in_force() {
    let states = EndpointState::ALL.map(|it| it.to_string());
    assert_eq!(enums::EndpointState::VALUES, states);
    assert_eq!(KeyRole::VALUES, Role::ALL.map(Role::as_str));
    assert_eq!(DesiredState::VALUES, ["STARTED", "STOPPED"]);
    let code = include_str!("../http/v1/endpoints/view.rs");
    for phase in ReplicaPhase::VALUES {
        assert!(code.contains(&format!("=> \"{phase}\"")), "{phase}");
    }
    let document = openapi::document("0");
    let schemas = &document["components"]["schemas"];
    for name in ["Autoscaling", "AutoscalingRequest"] {
        let fields = &schemas[name]["properties"];
        assert_eq!(fields["min_replicas"]["maximum"], json!(REPLICAS_MAX));
        assert_eq!(fields["max_replicas"]["maximum"], json!(REPLICAS_MAX));
    }
}

#[tokio::test]
async fn a_whole_number_may_have_a_point() {
    let plane = Plane::start().await;
    let body = json!({
        "model": "dedi/demo", "hardware": "1x_cpu_8gb", "inactive_timeout": 60.0,
        "autoscaling": {"min_replicas": 1.0, "max_replicas": 2.0},
    });
    let answer = plane.call("POST", "/v1/endpoints", &body.to_string()).await;
    assert_ne!(answer.json()["error"]["param"], "autoscaling.min_replicas", "{answer:?}");
    let body = body.to_string().replace("60.0", "60.5");
    let answer = plane.call("POST", "/v1/endpoints", &body).await;
    assert_eq!(answer.json()["error"]["param"], "inactive_timeout", "{answer:?}");
}

//! What is wrong with one endpoint leaves the others alone, and is left alone itself.

use dedi_domain::ReplicaId;
use http::StatusCode;
use serde_json::json;

use crate::ControlConfig;
use crate::testing::{FakeRuntime, Plane};

/// The endpoint of each launch, in order.
fn launched(plane: &Plane) -> Vec<String> {
    plane.runtime.launched().iter().map(|it| it.endpoint.to_string()).collect()
}

async fn spoil(plane: &Plane, statement: &'static str, id: &str) {
    let writer = plane.writer();
    sqlx::query(statement).bind(id).execute(&writer).await.unwrap();
}

#[tokio::test]
async fn a_launch_that_panics_holds_up_its_own_endpoint_only() {
    let plane = Plane::start().await;
    let bad = plane.create("").await;
    plane.runtime.set_panics_for(Some(&bad));
    plane.settle_idle().await;
    plane.later(1);
    let good = plane.create("").await;
    plane.settle_idle().await;
    assert_eq!(plane.state(&good).await, "STARTED");
    assert_ne!(plane.state(&bad).await, "STARTED");
    plane.call("DELETE", &format!("/v1/endpoints/{good}"), "").await;
    plane.settle_idle().await;
    assert!(plane.runtime.live().is_empty());
    let said = plane.events(&bad).await;
    assert_eq!(said.iter().filter(|it| it.starts_with("set_aside: ")).count(), 1, "{said:?}");
    plane.runtime.set_panics_for(None);
    plane.later(20);
    plane.settle_idle().await;
    assert_eq!(plane.state(&bad).await, "STARTED");
}

#[tokio::test]
async fn a_replica_that_cannot_be_ended_is_tried_at_growing_intervals() {
    let plane = Plane::with(ControlConfig::default(), FakeRuntime::with_cores(2)).await;
    let (bad, good) = (plane.create("").await, plane.create("").await);
    plane.settle_idle().await;
    let of_bad = plane.runtime.launched().iter().find(|it| it.endpoint.to_string() == bad).unwrap().replica;
    plane.runtime.keep(Some(of_bad));
    for id in [&bad, &good] {
        plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state":"STOPPED"}"#).await;
    }
    plane.settle_idle().await;
    assert_eq!(
        (plane.state(&bad).await.as_str(), plane.state(&good).await.as_str()),
        ("STOPPING", "STOPPED")
    );
    plane.runtime.keep(None);
    plane.settle_idle().await;
    assert_eq!(plane.state(&bad).await, "STOPPING", "its wait is not over");
    plane.later(1);
    plane.settle_idle().await;
    assert_eq!(plane.state(&bad).await, "STOPPED");
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_read_keeps_what_it_has_and_the_others_go_on() {
    // The name of the mark, or how an attempt ended, in words of another version.
    const SPOILS: [(&str, &str); 3] = [
        (
            "UPDATE replicas SET nonce = 'odd' WHERE endpoint = ?",
            "UPDATE replicas SET nonce = '{nonce}' WHERE endpoint = ?",
        ),
        (
            "UPDATE endpoints SET hardware = 'odd' WHERE id = ?",
            "UPDATE endpoints SET hardware = '1x_cpu_8gb' WHERE id = ?",
        ),
        (
            "UPDATE attempts SET cause = 'odd', ended_at = 9999999999999 WHERE endpoint = ?",
            "UPDATE attempts SET cause = NULL, ended_at = NULL WHERE endpoint = ?",
        ),
    ];
    for (spoil_it, mend_it) in SPOILS {
        let plane = Plane::with(ControlConfig::default(), FakeRuntime::with_cores(2)).await;
        let (bad, good) = (plane.create("").await, plane.create("").await);
        plane.settle_idle().await;
        let nonce = plane.runtime.launched().iter().find(|it| it.endpoint.to_string() == bad).unwrap().nonce;
        let of_bad = of(&plane, &bad);
        spoil(&plane, spoil_it, &bad).await;
        plane.settle_idle().await;
        let routes = plane.control.routes();
        assert_eq!(
            routes.borrow().routes.iter().filter(|it| !it.replicas.is_empty()).count(),
            2,
            "{spoil_it}"
        );

        // The next server does not know it from before either.
        let plane = plane.restart().await;
        plane.call("DELETE", &format!("/v1/endpoints/{good}"), "").await;
        let third = plane.create("").await;
        plane.later(1);
        let fourth = plane.create("").await;
        plane.settle_idle().await;
        assert_eq!(plane.state(&third).await, "STARTED", "{spoil_it}");
        assert_eq!(plane.state(&fourth).await, "PENDING", "the other device is taken: {spoil_it}");
        let live: Vec<ReplicaId> = plane.runtime.live().iter().map(|it| it.id).collect();
        assert!(live.contains(&of_bad) && live.len() == 2, "{spoil_it}: {live:?}");
        let hardware = plane.call("GET", "/v1/hardware?model=dedi/demo", "").await.text;
        assert!(!hardware.contains(r#""status":"available""#), "{spoil_it}: {hardware}");
        let said = plane.events_of_store(&bad).await;
        assert!(said.iter().any(|it| it.contains("can't be read")), "{spoil_it}: {said:?}");
        let shown = plane.call("GET", &format!("/v1/endpoints/{bad}"), "").await;
        if spoil_it.contains("UPDATE endpoints") {
            assert_eq!(shown.status, StatusCode::INTERNAL_SERVER_ERROR);
        } else {
            assert_eq!(shown.json()["status"]["reason"], json!("unobserved"), "{spoil_it}");
            assert_eq!(shown.json()["state"], json!("STARTED"), "{spoil_it}");
        }

        let mend_it = mend_it.replace("{nonce}", &nonce.to_string());
        let writer = plane.writer();
        sqlx::query(sqlx::AssertSqlSafe(mend_it)).bind(&bad).execute(&writer).await.unwrap();
        plane.settle_idle().await;
        assert_eq!(plane.get(&bad).await["status"]["reason"], json!("ready"), "{spoil_it}");
        assert_eq!(launched(&plane).iter().filter(|it| **it == bad).count(), 1, "{spoil_it}");
    }
}

#[tokio::test]
async fn a_replica_that_the_runtime_cannot_read_leaves_its_endpoint_alone_as_it_is() {
    let plane = Plane::start().await;
    let (bad, good) = (plane.create("").await, plane.create("").await);
    plane.settle_idle().await;
    let of_bad = of(&plane, &bad);
    plane.runtime.spoil(Some(of_bad));
    plane.settle_idle().await;
    let told = plane.get(&bad).await;
    assert_eq!((&told["state"], &told["status"]["reason"]), (&json!("STARTED"), &json!("unobserved")));
    let message = told["status"]["message"].as_str().unwrap();
    assert!(message.contains("launch.json is no launch record"), "{message}");
    assert!(told["status"]["next_step"].is_string(), "{told}");
    assert_eq!(told["replicas"][0]["phase"], json!("unknown"));
    assert!(plane.events_of_store(&bad).await.iter().any(|it| it.contains("is no launch record")));

    // Neither ended when that is asked for, nor replaced; the other goes its way.
    for id in [&bad, &good] {
        plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state": "STOPPED"}"#).await;
    }
    plane.settle_idle().await;
    assert_eq!(plane.state(&good).await, "STOPPED");
    assert_eq!(plane.state(&bad).await, "STOPPING");
    assert_eq!(plane.runtime.live().iter().map(|it| it.id).collect::<Vec<_>>(), [of_bad]);
    plane.runtime.spoil(None);
    plane.settle_idle().await;
    assert_eq!(plane.state(&bad).await, "STOPPED");
    assert!(plane.runtime.live().is_empty());
}

fn of(plane: &Plane, endpoint: &str) -> ReplicaId {
    plane.runtime.launched().iter().find(|it| it.endpoint.to_string() == endpoint).unwrap().replica
}

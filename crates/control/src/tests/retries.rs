//! Creates that clients repeat because the answer to the first was lost.

use axum::body::Body;
use dedi_domain::Role;
use http::Request;
use tower::ServiceExt;

use crate::ControlConfig;
use crate::LastReply;
use crate::testing::{FakeRuntime, Plane};

const BODY: &str =
    r#"{"model":"dedi/demo","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":1,"max_replicas":1}}"#;

fn create(key: &str, body: &str) -> http::request::Builder {
    assert!(!body.is_empty());
    Request::post("/v1/endpoints")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
}

/// A create whose answer is dropped before a byte of it is read.
async fn lost(plane: &Plane, body: &str) {
    let request = create(&plane.admin, body).body(Body::from(body.to_owned())).unwrap();
    let answer = plane.control.router(plane.failures.clone()).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
}

async fn ids(plane: &Plane) -> Vec<String> {
    let list = plane.call("GET", "/v1/endpoints", "").await.json();
    list["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
}

async fn again(plane: &Plane, key: &str, path: &str, body: &str) -> String {
    plane.call_as(Some(key), "POST", path, body).await.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_answered_with_its_endpoint() {
    let plane = Plane::start().await;
    lost(&plane, BODY).await;
    let made = ids(&plane).await;
    plane.later(9);
    assert_eq!(again(&plane, &plane.admin, "/v1/endpoints", BODY).await, made[0]);
    assert_eq!(ids(&plane).await, made, "one endpoint");
    // That answer was read, so the next is meant as another.
    assert_ne!(again(&plane, &plane.admin, "/v1/endpoints", BODY).await, made[0]);
}

#[tokio::test]
async fn two_creates_that_were_answered_make_two_endpoints() {
    let plane = Plane::start().await;
    let first = again(&plane, &plane.admin, "/v1/endpoints", BODY).await;
    let second = again(&plane, &plane.admin, "/v1/endpoints", BODY).await;
    assert_ne!(first, second);
    // At the same time too: an answer under way is not lost.
    let answers =
        futures_util::future::join_all((0..4).map(|_| again(&plane, &plane.admin, "/v1/endpoints", BODY)));
    answers.await;
    assert_eq!(ids(&plane).await.len(), 6);
}

#[tokio::test]
async fn only_the_same_create_soon_after_counts_as_its_repetition() {
    let plane = Plane::start().await;
    let other_key = plane.key("team", Role::Owner).await;
    lost(&plane, BODY).await;
    let made = ids(&plane).await[0].clone();
    for (key, path, body) in [
        (&plane.admin, "/v1/endpoints", BODY.replace(":1}", ":2}")),
        (&plane.admin, "/v1/endpoints?availability_zone=local", BODY.to_owned()),
        (&other_key, "/v1/endpoints", BODY.to_owned()),
    ] {
        assert_ne!(again(&plane, key, path, &body).await, made, "{path} {body}");
    }
    plane.later(11);
    assert_ne!(again(&plane, &plane.admin, "/v1/endpoints", BODY).await, made, "the window is over");
}

#[tokio::test]
async fn a_deleted_endpoint_answers_no_repetition() {
    let plane = Plane::start().await;
    lost(&plane, BODY).await;
    let made = ids(&plane).await[0].clone();
    plane.call("DELETE", &format!("/v1/endpoints/{made}"), "").await;
    assert_ne!(again(&plane, &plane.admin, "/v1/endpoints", BODY).await, made);
}

#[tokio::test]
async fn an_answer_lost_with_its_server_is_found_by_the_next_one() {
    let plane = Plane::start().await;
    lost(&plane, BODY).await;
    let made = ids(&plane).await;
    let plane = plane.restart().await;
    assert_eq!(again(&plane, &plane.admin, "/v1/endpoints", BODY).await, made[0]);
    assert_eq!(ids(&plane).await, made);
}

#[tokio::test]
async fn a_client_that_counts_its_tries_is_believed() {
    let plane = Plane::start().await;
    let made = again(&plane, &plane.admin, "/v1/endpoints", BODY).await;
    let send = async |count: &str| {
        let request = create(&plane.admin, BODY).header("x-stainless-retry-count", count);
        let answer = plane.send(request.body(Body::from(BODY)).unwrap()).await;
        answer.json()["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(send("1").await, made, "a proxy may have swallowed the answer");
    assert_ne!(send("0").await, made);
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_answer_loses_it() {
    let plane = Plane::start().await;
    let send = async |connection: &LastReply| {
        let mut request = create(&plane.admin, BODY).body(Body::from(BODY)).unwrap();
        request.extensions_mut().insert(connection.clone());
        plane.send(request).await.json()["id"].as_str().unwrap().to_owned()
    };
    let (first, second) = (LastReply::default(), LastReply::default());
    let made = send(&first).await;
    first.broken();
    assert_eq!(send(&second).await, made);
    // The next request of a connection shows that the answer before it was read.
    assert_ne!(send(&second).await, made);
}

#[tokio::test]
async fn an_operator_can_turn_it_off() {
    let config = ControlConfig { lost_reply_window_secs: 0, ..ControlConfig::default() };
    let plane = Plane::with(config, FakeRuntime::with_cores(2)).await;
    lost(&plane, BODY).await;
    again(&plane, &plane.admin, "/v1/endpoints", BODY).await;
    assert_eq!(ids(&plane).await.len(), 2);
}

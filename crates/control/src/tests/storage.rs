//! A database that can't be had, or can't be written to, as servers and requests meet it.

use serde_json::json;

use crate::store::LockError;
use crate::testing::{FakeRuntime, Plane, open};
use crate::{ControlConfig, ControlError};

#[tokio::test]
async fn two_servers_on_one_folder_are_refused() {
    let plane = Plane::start().await;
    let err = open(&plane.dir, &ControlConfig::default(), &plane.runtime, &plane.clock).await.unwrap_err();
    assert!(matches!(err, ControlError::Lock(LockError::Held { .. })), "{err}");
    assert!(err.to_string().contains("has a server: process "), "{err}");
    plane.control.close().await;
    let next = open(&plane.dir, &ControlConfig::default(), &plane.runtime, &plane.clock).await.unwrap();
    let owner = dedi_domain::Owner::parse("team").unwrap();
    assert!(!next.first_key(&owner, None, |_| panic!("there is a key")).await.unwrap());
}

#[tokio::test]
async fn a_key_that_could_not_be_written_down_does_not_exist() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = std::sync::Arc::new(FakeRuntime::with_cores(1));
    let clock = std::sync::Arc::default();
    let control = open(&dir, &ControlConfig::default(), &runtime, &clock).await.unwrap();
    let owner = dedi_domain::Owner::parse("team").unwrap();
    assert!(control.first_key(&owner, None, |_| Err(std::io::Error::other("no room"))).await.is_err());
    let mut kept = String::new();
    let made = control.first_key(&owner, None, |text| {
        kept = text.to_owned();
        Ok(())
    });
    assert!(made.await.unwrap());
    assert!(kept.starts_with("dedi_"));
    let bytes = std::fs::read(dir.path().join("state.db-wal")).unwrap_or_default();
    let secret = kept.split('_').nth(2).unwrap().as_bytes();
    assert!(!bytes.windows(secret.len()).any(|it| it == secret), "no secret is stored");
}

#[tokio::test]
async fn a_database_that_is_locked_or_full_is_503_and_changes_nothing() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    let path = plane.dir.path().join("state.db");
    let other = sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(&path))
        .await
        .unwrap();
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let answer = plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"display_name":"x"}"#).await;
    assert_eq!(answer.status, http::StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert_eq!(answer.json()["error"]["type"], "server_error");
    assert!(answer.headers.contains_key("retry-after-ms"));
    assert_eq!(plane.state(&id).await, "PENDING", "reads go on");
    held.rollback().await.unwrap();
    assert_eq!(
        plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"display_name":"x"}"#).await.status,
        http::StatusCode::OK
    );

    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&other).await.unwrap();
    let writer = plane.writer();
    sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}")))
        .execute(&writer)
        .await
        .unwrap();
    let body =
        r#"{"model":"dedi/demo","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":1,"max_replicas":1}}"#;
    let mut last = None;
    let mut n_acknowledged = 1;
    for _ in 0..200 {
        let answer = plane.call("POST", "/v1/endpoints", body).await;
        if answer.status != http::StatusCode::OK {
            last = Some(answer);
            break;
        }
        n_acknowledged += 1;
    }
    let full = last.expect("the file never got full");
    assert_eq!(full.status, http::StatusCode::SERVICE_UNAVAILABLE, "{full:?}");
    assert!(full.message().contains("full"), "{full:?}");
    let listed = plane.call("GET", "/v1/endpoints", "").await.json();
    assert_eq!(
        listed["data"].as_array().unwrap().len(),
        n_acknowledged,
        "reads go on; nothing else was kept"
    );
    sqlx::query("PRAGMA max_page_count = 100000").execute(&writer).await.unwrap();
    assert_eq!(
        plane.call("DELETE", &format!("/v1/endpoints/{id}"), "").await.status,
        http::StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn an_endpoint_whose_next_step_cannot_be_recorded_says_so() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    let calm = plane.create(r#","state":"STOPPED""#).await;
    plane.settle_idle().await;
    let path = plane.dir.path().join("state.db");
    let other = sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(&path))
        .await
        .unwrap();
    plane.runtime.kill_all(plane.now());
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    plane.settle_idle().await;
    let it = plane.get(&id).await;
    assert_eq!((&it["state"], &it["status"]["reason"]), (&json!("STARTED"), &json!("unrecorded")));
    let message = it["status"]["message"].as_str().unwrap();
    let why =
        "dedi can't record its next step: the database is locked by another program; what runs goes on.";
    assert!(message.starts_with(why) && message.contains("1 replica ended because"), "{message}");
    assert!(it["status"]["next_step"].as_str().unwrap().contains("make room"), "{it:#}");
    assert_eq!(plane.get(&calm).await["status"]["reason"], "stopped_by_user", "it has no next step");
    held.rollback().await.unwrap();
    plane.settle_idle().await;
    assert_ne!(plane.get(&id).await["status"]["reason"], "unrecorded");
}

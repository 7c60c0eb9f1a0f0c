//! A key ends, and what is under way with it; and what a key's list leaves it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dedi_domain::keys::{KeyRecord, KeyText};
use dedi_domain::{Address, KeyTable, Role, Route, Scope, Timestamp};

use crate::engine::{BOUND, Engine, Step, says, stream_head};
use crate::plane::{NAME, Plane, chat_body, key, owner, route, table};

/// Longest that an answer goes on without its key.
const SOON: Duration = Duration::from_secs(5);

fn keys(scope: Scope, expires_at: Option<Timestamp>) -> Arc<KeyTable> {
    let text = KeyText::parse(&key(1)).unwrap();
    let record = KeyRecord { hash: text.hash(), owner: owner(), role: Role::Developer, expires_at, scope };
    Arc::new([(text.id(), record)].into_iter().collect())
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since.as_millis()).unwrap())
}

fn stuck() -> Engine {
    Engine::start(vec![stream_head(), says("Hi"), Step::UntilHangUp])
}

#[tokio::test]
async fn revoked_key_ends_its_stream_with_an_event() {
    let engine = stuck();
    let plane = Plane::with(&[&engine]).await;
    let mut client = plane.ask(true).await;
    client.until("Hi").await;
    let routes = || vec![route(&[engine.address()])];
    plane.publish(dedi_domain::RouteTable { keys: Arc::default(), ..table(2, routes()) });
    let began = Instant::now();
    let answer = client.answer().await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(answer.body.contains(r#""code":"key_revoked""#), "{}", answer.body);
    assert!(!answer.complete, "nobody takes it for whole");
    engine.until_hang_ups(1).await;
}

#[tokio::test]
async fn revoked_key_ends_a_whole_answer_and_a_wait_with_401() {
    let engine = stuck();
    let asleep = |replicas: &[Address]| Route {
        state: dedi_domain::EndpointState::Pending,
        wakes_on_request: true,
        ..route(replicas)
    };
    for routes in [vec![route(&[engine.address()])], vec![asleep(&[])]] {
        let plane = Plane::start(dedi_gateway::GatewayConfig::default(), routes.clone()).await;
        let client = plane.ask(false).await;
        plane.until_load(|it| it.endpoints.values().any(|it| it.in_flight + it.waiting > 0)).await;
        plane.publish(dedi_domain::RouteTable { keys: Arc::default(), ..table(2, routes) });
        let began = Instant::now();
        let answer = client.answer().await;
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        assert_eq!(answer.status, 401, "{}", answer.body);
        assert_eq!(answer.json()["error"]["code"], "key_revoked");
    }
}

#[tokio::test]
async fn expired_key_ends_its_stream() {
    let engine = stuck();
    let plane = Plane::with(&[&engine]).await;
    let soon = Timestamp(now().0 + 1_000);
    let keys = keys(Scope::default(), Some(soon));
    plane.publish(dedi_domain::RouteTable { keys, ..table(2, vec![route(&[engine.address()])]) });
    plane.until_load(|it| it.routes_version == 2).await;
    let mut client = plane.ask(true).await;
    client.until("Hi").await;
    let answer = tokio::time::timeout(BOUND, client.answer()).await.unwrap();
    assert!(now() >= soon, "not before");
    assert!(answer.body.contains(r#""code":"key_revoked""#), "{}", answer.body);
}

#[tokio::test]
async fn key_with_a_list_finds_nothing_outside_of_it() {
    let engine = Engine::start(crate::engine::chat_answer());
    let plane = Plane::with(&[&engine]).await;
    let mut version = 1;
    for (entry, status) in [
        ("dedi/demo", 200),
        ("dedi/*", 200),
        (NAME, 200),
        ("other/*", 404),
        ("dedi/other", 404),
        ("team/dedi/demo-0000000b", 404),
    ] {
        version += 1;
        let keys = keys(Scope::parse(&[entry]).unwrap(), None);
        plane.publish(dedi_domain::RouteTable { keys, ..table(version, vec![route(&[engine.address()])]) });
        plane.until_load(|it| it.routes_version == version).await;
        for path in ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"] {
            let body = match path {
                "/v1/chat/completions" => chat_body(NAME, false),
                "/v1/completions" => format!(r#"{{"model":"{NAME}","prompt":"x"}}"#),
                _ => format!(r#"{{"model":"{NAME}","input":"x"}}"#),
            };
            let answer = plane.send(path, &body).await.answer().await;
            assert_eq!(answer.status == 404, status == 404, "{entry} {path}: {}", answer.body);
        }
        // What is outside is no hint that the model is on the host.
        let of_model =
            plane.send("/v1/chat/completions", &chat_body("dedi/demo", false)).await.answer().await;
        let is_named = entry == "dedi/demo" || entry == "dedi/*";
        assert_eq!(of_model.status, if is_named { 400 } else { 404 }, "{entry}: {}", of_model.body);
    }
}

#[tokio::test]
async fn key_use_is_told_with_the_load() {
    let engine = Engine::start(crate::engine::chat_answer());
    let plane = Plane::with(&[&engine]).await;
    assert_eq!(plane.ask(false).await.answer().await.status, 200);
    let id = KeyText::parse(&key(1)).unwrap().id();
    plane.until_load(|it| it.keys_used.contains_key(&id)).await;
}

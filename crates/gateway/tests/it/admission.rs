//! Who is let in, and what is refused before anything is asked.

use dedi_gateway::GatewayConfig;

use crate::engine::{Engine, Step, chat_answer};
use crate::plane::{NAME, Plane, chat_body, endpoint_id, key};

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn a_full_endpoint_says_so_and_when_to_come_back() {
    let config = GatewayConfig { requests_per_endpoint_max: 1, ..GatewayConfig::default() };
    let engine = Engine::scripted(vec![[vec![Step::Gate], chat_answer()].concat()], chat_answer());
    let plane = Plane::configured(config, &[&engine]).await;
    let first = plane.ask(false).await;
    engine.until_requests(1).await;
    let refused = plane.ask(false).await.answer().await;
    assert_eq!((refused.status, refused.header("retry-after-ms")), (429, Some("1000")));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.json()["error"]["code"], "endpoint_full");
    engine.open_gate();
    assert_eq!(first.answer().await.status, 200);
    plane.until_load(|it| it.endpoints.get(&endpoint_id(10)).is_some_and(|it| it.in_flight == 0)).await;
    assert_eq!(plane.ask(false).await.answer().await.status, 200);
}

#[tokio::test]
async fn only_a_valid_key_with_the_right_role_gets_in_and_guessing_is_limited() {
    let engine = Engine::start(chat_answer());
    let plane = Plane::with(&[&engine]).await;
    let with = async |key: &str| plane.send_as(key, CHAT, &chat_body(NAME, false)).await.answer().await;
    let viewer = with(&key(2)).await;
    assert_eq!((viewer.status, &viewer.json()["error"]["code"]), (403, &"permission_denied".into()));
    for wrong in std::iter::once(key(9)).chain((0..9).map(|n| format!("local{n}"))) {
        let answer = with(&wrong).await;
        assert_eq!(answer.status, 401);
        let error = &answer.json()["error"];
        assert_eq!(
            (&error["type"], &error["code"]),
            (&"invalid_request_error".into(), &"invalid_api_key".into())
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("Invalid API key") && message.contains("authentication"), "{message}");
    }
    let limited = with("local").await;
    assert_eq!((limited.status, limited.header("x-should-retry")), (429, Some("false")));
    assert_eq!((limited.header("retry-after"), limited.header("retry-after-ms")), (None, None));
    assert!(limited.json()["error"]["message"].as_str().unwrap().contains("authentication"));
    assert_eq!(with(&key(1)).await.status, 200);
    assert!(engine.requests().len() == 1);
}

#[tokio::test]
async fn bodies_that_are_not_small_plain_json_are_refused_by_name() {
    let config =
        GatewayConfig { body_bytes_max: 1_000, body_idle_timeout_ms: 50, ..GatewayConfig::default() };
    let engine = Engine::start(chat_answer());
    let plane = Plane::configured(config, &[&engine]).await;
    let send = async |headers: &str, body: &str| {
        let auth = format!("authorization: Bearer {}\r\n", key(1));
        plane
            .send_raw(&format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\n{auth}{headers}\r\n\r\n{body}"))
            .await
            .answer()
            .await
    };
    let json = "content-type: application/json\r\n";
    let cases = [
        (format!("{json}content-length: 5000"), "{}", 413),
        (
            format!("{json}transfer-encoding: chunked"),
            &*format!("3e9\r\n{}\r\n0\r\n\r\n", " ".repeat(1_001)),
            413,
        ),
        (format!("{json}content-encoding: gzip\r\ncontent-length: 2"), "{}", 415),
        ("content-type: text/plain\r\ncontent-length: 2".to_owned(), "{}", 415),
        ("content-type: application/x-www-form-urlencoded\r\ncontent-length: 2".to_owned(), "{}", 415),
        // Without a type it is read, and refused for what it lacks.
        ("content-length: 2".to_owned(), "{}", 400),
        ("content-type: application/merge-patch+json\r\ncontent-length: 2".to_owned(), "{}", 400),
        (format!("{json}content-length: 2"), "{}", 400),
        (format!("{json}content-length: 9"), "{", 408),
    ];
    for (headers, body, status) in cases {
        let answer = send(&headers, body).await;
        assert_eq!(answer.status, status, "{headers}: {}", answer.body);
        assert!(answer.json()["error"]["message"].is_string());
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
    let wrong = send(&format!("{json}content-length: 18"), r#"{"max_tokens":"x"}"#).await;
    assert_eq!(wrong.json()["error"]["param"], "max_tokens");
    let get = plane.send_raw(&format!("GET {CHAT} HTTP/1.1\r\nhost: x\r\n\r\n")).await.answer().await;
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    assert!(get.json()["error"]["message"].as_str().unwrap().contains("POST"));
    assert!(engine.requests().is_empty());
}

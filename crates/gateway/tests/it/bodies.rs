//! Request bodies: refused as early as can be, shared out, and JSON throughout.

use dedi_domain::Owner;
use dedi_gateway::GatewayConfig;

use crate::engine::{Engine, chat_answer};
use crate::plane::{Answer, Client, NAME, Plane, chat_body, endpoint_id, key, route};

const CHAT: &str = "/v1/chat/completions";

/// A request whose body is announced to be so long, with the beginning of it.
async fn begin(plane: &Plane, key: &str, length: usize, body: &str) -> Client {
    let head = format!("authorization: Bearer {key}\r\ncontent-type: application/json\r\n");
    plane
        .send_raw(&format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\n{head}content-length: {length}\r\n\r\n{body}"))
        .await
}

fn is_early(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (status, &code.into()));
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn bodies_for_no_endpoint_are_refused_before_they_have_come() {
    let engine = Engine::start(chat_answer());
    let plane = Plane::with(&[&engine]).await;
    let mine = begin(&plane, &key(1), 1_000_000, r#"{"stream":true,"model":"nobody/x","messages":[{"#).await;
    is_early(&mine.answer().await, 404, "model_not_available");
    let bare = begin(&plane, &key(1), 1_000_000, r#"{"model":"dedi/demo","messages":[{"#).await;
    is_early(&bare.answer().await, 400, "model_not_available");
    // This tenant has none at all.
    let none = begin(&plane, &key(3), 1_000_000, "").await;
    is_early(&none.answer().await, 404, "model_not_available");
    let short = plane.send_as(&key(3), CHAT, &chat_body("a/b", false)).await.answer().await;
    assert!(short.status == 404 && short.body.contains("a/b"), "{}", short.body);
    let head = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", key(3));
    let piece = format!("{:x}\r\n{{\"messages\":\"{}", 100_000, "x".repeat(90_000));
    let endless = plane
        .send_raw(&format!(
            "POST {CHAT} HTTP/1.1\r\nhost: x\r\n{head}transfer-encoding: chunked\r\n\r\n{piece}"
        ))
        .await;
    is_early(&endless.answer().await, 404, "model_not_available");
    assert!(engine.requests().is_empty());
}

#[tokio::test]
async fn bodies_of_one_tenant_leave_memory_to_others() {
    const BODY: usize = 60_000;
    let config = GatewayConfig { body_bytes_max: 64 << 10, bytes_max: 1 << 20, ..GatewayConfig::default() };
    let engine = Engine::start(chat_answer());
    let mut theirs = route(&[engine.address()]);
    theirs.endpoint = endpoint_id(20);
    theirs.owner = Owner::parse("others").unwrap();
    let mut mine = route(&[engine.address()]);
    mine.replicas.clear();
    let plane = Plane::start(config, vec![mine, theirs]).await;
    // Begun and not finished: 30 of them are more than there is.
    let mut slow = Vec::new();
    for _ in 0..30 {
        slow.push(
            begin(&plane, &key(1), BODY, &format!("{{\"messages\":\"{}", "x".repeat(BODY - 1_000))).await,
        );
    }
    let refused = slow.pop().unwrap().answer().await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (429, &"memory_full".into()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    for _ in 0..60 {
        let body = chat_body(NAME, false).replace("hello", &"y".repeat(40_000));
        assert_eq!(plane.send_as(&key(3), CHAT, &body).await.answer().await.status, 200);
    }
    assert_eq!(engine.requests().len(), 60);
}

#[tokio::test]
async fn bodies_are_json_where_nobody_reads_them_too() {
    let engine = Engine::start(chat_answer());
    let plane = Plane::with(&[&engine]).await;
    let with = |more: &str| chat_body(NAME, false).replacen('{', &format!("{{{more},"), 1);
    for (more, param) in [
        (r#""logit_bias":{"5":1,"5":-100}"#, Some("logit_bias.5")),
        (r#""metadata":{"a":1,"a":2}"#, Some("metadata.a")),
        (r#""user":"a","user":"b""#, Some("user")),
        (r#""x":"\ud800""#, None),
        (r#""x":NaN"#, None),
        (r#""x":1e999"#, None),
    ] {
        let answer = plane.chat(&with(more)).await.answer().await;
        assert_eq!((answer.status, answer.json()["error"]["param"].as_str()), (400, param), "{more}");
    }
    for trailing in ["{}", "x", "]"] {
        let answer = plane.chat(&(chat_body(NAME, false) + trailing)).await.answer().await;
        assert_eq!(answer.status, 400, "{trailing}");
    }
    assert!(engine.requests().is_empty());
}

#[tokio::test]
async fn bodies_reach_the_engine_with_the_queue_of_their_key() {
    let engine = Engine::start(chat_answer());
    let plane = Plane::with(&[&engine]).await;
    for seed in [1, 4, 1] {
        assert_eq!(plane.send_as(&key(seed), CHAT, &chat_body(NAME, false)).await.answer().await.status, 200);
    }
    let queue = |request: &serde_json::Value| {
        let head = request["head"].as_str().unwrap().to_owned();
        head.lines().find_map(|it| it.strip_prefix("x-dedi-queue: ").map(str::to_owned)).unwrap()
    };
    let queues: Vec<String> = engine.requests().iter().map(queue).collect();
    assert!(queues[0] == queues[2] && queues[0] != queues[1], "{queues:?}");
    assert!(queues.iter().all(|it| it.len() == 16 && !key(1).contains(it.as_str())), "{queues:?}");
}

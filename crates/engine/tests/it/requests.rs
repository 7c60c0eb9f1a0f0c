use serde_json::{Value, json};

use crate::client::{self, Events};
use crate::engine::Engine;

async fn refusal(engine: &Engine, path: &str, body: Value) -> (u16, Value) {
    let (status, answer) = client::post(&engine.socket(), path, &body).await;
    assert_eq!(answer["error"]["type"], if status == 400 { "invalid_request_error" } else { "server_error" });
    (status.as_u16(), answer["error"].clone())
}

#[tokio::test]
async fn invalid_requests_are_refused_with_what_would_work() {
    let engine = Engine::start(&["--context", "64"]).await;
    let chat = "/v1/chat/completions";
    let hi = json!([{"role": "user", "content": "Hi"}]);
    for (body, param) in [
        (json!({}), "messages"),
        (json!({"messages": "Hi"}), "messages"),
        (json!({"messages": hi, "temperature": "hot"}), "temperature"),
        (json!({"messages": hi, "temperature": 9}), "temperature"),
        (json!({"messages": hi, "n": 0}), "n"),
        (json!({"messages": hi, "logprobs": 21}), "logprobs"),
        (json!({"messages": hi, "response_format": {"type": "regex", "pattern": "["}}), "response_format"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
            "messages[0].content[0]",
        ),
    ] {
        let (status, error) = refusal(&engine, chat, body).await;
        assert_eq!((status, error["param"].as_str()), (400, Some(param)), "{error}");
    }
    let (status, error) = refusal(&engine, "/v1/completions", json!({"prompt": "x".repeat(100)})).await;
    let message = error["message"].as_str().unwrap();
    assert!(status == 400 && message.contains("100 tokens") && message.contains("64"), "{message}");
    assert_eq!(error["code"], "context_length_exceeded");
    let (_, error) = refusal(&engine, "/v1/completions", json!({"prompt": "x", "max_tokens": 64})).await;
    assert!(error["message"].as_str().unwrap().contains("at most 63"), "{error}");
    let (_, error) = refusal(&engine, "/v1/embeddings", json!({"input": "x"})).await;
    assert!(error["message"].as_str().unwrap().contains("makes no vectors"), "{error}");
    let (status, answer) = client::post(&engine.socket(), "/v1/nothing", &json!({})).await;
    assert_eq!((status.as_u16(), answer["error"]["type"].as_str()), (404, Some("not_found")));
}

#[tokio::test]
async fn queue_that_is_full_is_reported_at_once() {
    let engine = Engine::start(&["--slots", "1", "--queue", "1"]).await;
    let body = json!({"prompt": "Once", "max_tokens": 1000, "stream": true, "ignore_eos": true});
    let mut running = Events::open(&engine.socket(), "/v1/completions", &body).await;
    running.next().await.unwrap();
    let socket = engine.socket();
    let waiting = client::post(&socket, "/v1/completions", &body);
    tokio::pin!(waiting);
    let refused = async {
        engine.until("full", async || engine.metric("requests_waiting").await == 1).await;
        refusal(&engine, "/v1/completions", json!({"prompt": "Once", "max_tokens": 1})).await
    };
    tokio::select! {
        (status, error) = refused => {
            assert_eq!((status, error["code"].as_str()), (503, Some("queue_full")), "{error}");
        }
        early = &mut waiting => panic!("there was no slot, and yet: {early:?}"),
    }
    running.hang_up();
}

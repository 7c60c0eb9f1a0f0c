use std::io::Write;

use serde_json::{Value, json};

use crate::client::{self, Events};
use crate::engine::{Engine, demo_model};

#[tokio::test]
async fn health_of_a_ready_engine_identifies_it() {
    let engine = Engine::start(&["--context", "256", "--slots", "2"]).await;
    let (_, health) = client::get(&engine.socket(), "/health").await.unwrap();
    let health: Value = serde_json::from_str(&health).unwrap();
    let expected =
        json!({"status": "ok", "nonce": "test-nonce", "model": "dedi/demo", "context": 256, "slots": 2});
    assert_eq!(health, expected);
    let (_, models) = client::get(&engine.socket(), "/v1/models").await.unwrap();
    assert!(models.contains("\"dedi/demo\""), "{models}");
}

#[tokio::test]
async fn a_damaged_model_is_a_sentence_and_a_code() {
    let whole = std::fs::read(demo_model()).unwrap();
    for (name, bytes) in [
        ("cut", &whole[..whole.len() / 2]),
        ("cut in its header", &whole[..100]),
        ("empty", &[][..]),
        ("another kind", &b"PK\x03\x04 and so on"[..]),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let mut engine = Engine::launch(file.path(), &[]);
        let status = engine.exit().await;
        assert_eq!(status.code(), Some(3), "{name}: {}", engine.log());
        assert_eq!(engine.log().lines().count(), 1, "{name}: {}", engine.log());
    }
}

#[tokio::test]
async fn health_names_a_missing_model_that_may_come_back() {
    let mut engine = Engine::launch("/nowhere/model.gguf".as_ref(), &[]);
    assert_eq!(engine.exit().await.code(), Some(8));
    assert!(engine.log().contains("/nowhere/model.gguf"), "{}", engine.log());
}

#[tokio::test]
async fn a_context_beyond_all_memory_is_refused_with_numbers() {
    let mut engine = Engine::launch(&demo_model(), &["--context", "1024", "--slots", "256"]);
    // The demo model is too small to fill a machine; whichever way it goes, it must not crash.
    engine
        .until("ready or gone", async || {
            client::get(&engine.socket(), "/health").await.is_ok_and(|it| it.0 == 200)
                || engine.log().contains("memory")
        })
        .await;
    engine.terminate();
    assert!(matches!(engine.exit().await.code(), Some(0 | 4)));
}

#[tokio::test]
async fn a_stop_lets_running_replies_finish() {
    let mut engine = Engine::start(&["--context", "1024"]).await;
    let body = json!({"prompt": "Once", "max_tokens": 900, "stream": true, "ignore_eos": true, "seed": 1});
    let mut events = Events::open(&engine.socket(), "/v1/completions", &body).await;
    events.next().await.unwrap();
    engine.terminate();
    let chunks = events.chunks().await;
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "length");
    assert_eq!(engine.exit().await.code(), Some(0), "{}", engine.log());
    assert!(!engine.socket().exists());
}

#[tokio::test]
async fn logs_hold_no_prompt() {
    let engine = Engine::start(&[]).await;
    let body = json!({"prompt": "a very secret text", "max_tokens": 2});
    client::post(&engine.socket(), "/v1/completions", &body).await;
    assert!(!engine.log().contains("secret"));
}

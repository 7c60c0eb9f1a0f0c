use serde_json::{Value, json};

use crate::client::{self, Events};
use crate::engine::Engine;

const CHAT: &str = "/v1/chat/completions";

fn forced(reply: &str) -> Value {
    json!({"messages": [{"role": "user", "content": "Time?"}], "max_tokens": 60,
        "response_format": {"type": "regex", "pattern": reply.replace('.', "\\.")}})
}

#[tokio::test]
async fn thoughts_are_reasoning_and_no_content() {
    let engine = Engine::start(&[]).await;
    let mut body = forced("<think>\nhm\n</think>\n\nParis.");
    let (status, answer) = client::post(&engine.socket(), CHAT, &body).await;
    assert_eq!(status, 200, "{answer}");
    let message = &answer["choices"][0]["message"];
    assert_eq!((&message["reasoning"], &message["content"]), (&json!("hm"), &json!("Paris.")), "{answer}");
    let tokens = answer["usage"]["completion_tokens"].as_u64().unwrap();
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    body["logprobs"] = json!(true);
    let chunks = Events::open(&engine.socket(), CHAT, &body).await.chunks().await;
    let all = |field: &str| {
        let deltas = chunks.iter().filter_map(|it| it["choices"][0]["delta"][field].as_str());
        deltas.collect::<String>()
    };
    assert_eq!((all("reasoning"), all("content")), ("hm".to_owned(), "Paris.".to_owned()));
    assert_eq!(
        chunks.last().unwrap()["usage"]["completion_tokens"].as_u64(),
        Some(tokens),
        "thoughts are counted"
    );
    let told =
        chunks.iter().filter_map(|it| it["choices"][0]["logprobs"]["content"].as_array()).flatten().count();
    assert_eq!(told as u64, tokens, "each token has its probability, thoughts and marks, too");
}

#[tokio::test]
async fn thoughts_without_an_end_stay_thoughts() {
    let engine = Engine::start(&[]).await;
    let mut body = forced("<think>hm hm hm hm hm hm hm</think>Paris.");
    body["max_tokens"] = json!(12);
    let (_, answer) = client::post(&engine.socket(), CHAT, &body).await;
    let choice = &answer["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], &choice["message"]["content"]),
        (&json!("length"), &json!("")),
        "{answer}"
    );
    assert!(choice["message"]["reasoning"].as_str().unwrap().starts_with("hm"), "{answer}");
}

#[tokio::test]
async fn completion_text_is_not_parsed() {
    let engine = Engine::start(&[]).await;
    let mut body = forced("<think>\nhm\n</think>\n\nParis.");
    body["prompt"] = json!("Time?");
    let (status, answer) = client::post(&engine.socket(), "/v1/completions", &body).await;
    assert_eq!(
        (status.as_u16(), &answer["choices"][0]["text"]),
        (200, &json!("<think>\nhm\n</think>\n\nParis."))
    );
}

#[tokio::test]
async fn little_or_no_reasoning_may_be_asked_of_a_model_that_does_none() {
    let engine = Engine::start(&[]).await;
    let ask = async |effort: &str| {
        let body = json!({"messages": [{"role": "user", "content": "Time?"}], "max_tokens": 8,
            "reasoning_effort": effort});
        client::post(&engine.socket(), CHAT, &body).await
    };
    for effort in ["none", "minimal"] {
        let (status, answer) = ask(effort).await;
        assert_eq!(status, 200, "{answer}");
    }
    let (status, answer) = ask("most").await;
    assert_eq!((status.as_u16(), &answer["error"]["param"]), (400, &json!("reasoning_effort")), "{answer}");
}

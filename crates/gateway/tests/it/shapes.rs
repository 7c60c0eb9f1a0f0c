//! Whole answers in the contract's shape, and what the engine was asked for them.

use serde_json::{Value, json};

use crate::engine::{Engine, json as answer_json};
use crate::plane::{NAME, Plane};

async fn exchange(path: &str, body: Value, engine_says: Value) -> (Value, Value) {
    let engine = Engine::start(answer_json("200 OK", &engine_says.to_string()));
    let plane = Plane::with(&[&engine]).await;
    let answer = plane.send(path, &body.to_string()).await.answer().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let mut got = answer.json();
    if got["id"].is_string() {
        assert_eq!(got["id"], answer.header("x-request-id").unwrap());
        (got["id"], got["created"]) = (json!("ID"), json!(0));
    }
    (got, engine.requests()[0]["body"].clone())
}

#[tokio::test]
async fn chat_with_tools_and_log_probabilities() {
    let says = json!({
        "id": "x", "object": "chat.completion", "created": 5, "model": "m", "system_fingerprint": "f",
        "choices": [{
            "index": 0, "finish_reason": "tool_calls", "token_ids": [7],
            "message": {"role": "assistant", "content": null, "reasoning_content": "hm",
                "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            "logprobs": {"content": [{"token": "a", "logprob": -0.25, "bytes": [97],
                "top_logprobs": [{"token": "a", "logprob": -0.25, "bytes": [97]}]}]},
        }],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "prompt_tokens_details": null},
    });
    let asks = json!({
        "model": NAME, "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}], "seed": 1,
        "logprobs": 1, "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "f",
        "safety_model": "none", "user": "me", "top_k": 40, "repetition_penalty": 1.1, "min_p": 0.05,
    });
    let (got, asked) = exchange("/v1/chat/completions", asks, says).await;
    assert_eq!(
        got,
        json!({
            "id": "ID", "object": "chat.completion", "created": 0, "model": NAME, "prompt": [],
            "choices": [{
                "index": 0, "finish_reason": "tool_calls", "seed": 1,
                "logprobs": {"tokens": ["a"], "token_logprobs": [-0.25], "token_ids": [7], "top_logprobs": {"0": {"a": -0.25}}},
                "message": {"role": "assistant", "content": null, "reasoning": "hm", "tool_calls": [
                    {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            }],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        })
    );
    assert_eq!(
        asked,
        json!({
            "model": "engine-model", "stream": false, "seed": 1, "logprobs": true, "top_logprobs": 1,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "top_k": 40, "repetition_penalty": 1.1, "min_p": 0.05,
        })
    );
}

#[tokio::test]
async fn completions_with_an_echo() {
    let says = json!({"choices": [{"index": 0, "text": "once upon", "finish_reason": "length", "logprobs": null}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1}});
    let asks = json!({"model": NAME, "prompt": "once", "max_tokens": 512, "echo": true});
    let (got, asked) = exchange("/v1/completions", asks, says).await;
    assert_eq!(
        got,
        json!({
            "id": "ID", "object": "text.completion", "created": 0, "model": NAME,
            "prompt": [{"text": "once", "logprobs": null}],
            "choices": [{"index": 0, "text": " upon", "finish_reason": "length", "seed": null, "logprobs": null}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        })
    );
    assert_eq!(asked["echo"], true);
    assert_eq!(asked["max_tokens"], 512);
}

#[tokio::test]
async fn a_chat_with_an_echo() {
    let says = json!({
        "prompt": {"text": "<user>x", "token_ids": [5, 6],
            "logprobs": {"tokens": ["<user>", "x"], "token_logprobs": [null, -1.5], "top_logprobs": [null, {"x": -1.5}]}},
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}],
    });
    let asks =
        json!({"model": NAME, "messages": [{"role": "user", "content": "x"}], "echo": true, "logprobs": 1});
    let (got, asked) = exchange("/v1/chat/completions", asks.clone(), says).await;
    assert_eq!(asked["echo"], true);
    assert_eq!(
        got["prompt"],
        json!([{"text": "<user>x", "logprobs": {"tokens": ["<user>", "x"], "token_logprobs": [null, -1.5],
            "token_ids": [5, 6], "top_logprobs": {"1": {"x": -1.5}}}}])
    );
    assert_eq!(got["choices"][0]["message"]["content"], "a");
}

#[tokio::test]
async fn an_engine_that_tells_no_prompt_is_not_passed_off_as_one_that_does() {
    let says = json!({"choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}]});
    let engine = Engine::start(answer_json("200 OK", &says.to_string()));
    let plane = Plane::with(&[&engine]).await;
    let asks = json!({"model": NAME, "messages": [{"role": "user", "content": "x"}], "echo": true});
    let answer = plane.send("/v1/chat/completions", &asks.to_string()).await.answer().await;
    assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &"echo".into()));
}

#[tokio::test]
async fn embeddings_keep_the_engines_digits() {
    let says = json!({"object": "list", "model": "m", "data": [
        {"object": "embedding", "index": 0, "embedding": [0.1, -2e-5]}, {"object": "embedding", "index": 1, "embedding": [1, 2]},
    ], "usage": {"prompt_tokens": 3, "total_tokens": 3}});
    let (got, asked) = exchange("/v1/embeddings", json!({"model": NAME, "input": ["a", "b"]}), says).await;
    assert_eq!(
        got,
        json!({
            "object": "list", "model": NAME,
            "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -2e-5]},
                {"object": "embedding", "index": 1, "embedding": [1, 2]}],
            "usage": {"prompt_tokens": 3, "total_tokens": 3},
        })
    );
    assert_eq!(asked, json!({"model": "engine-model", "input": ["a", "b"], "encoding_format": "float"}));
}

#[tokio::test]
async fn vectors_come_in_the_form_that_was_asked_for() {
    let says = || json!({"data": [{"index": 0, "embedding": [1, -0.5]}]});
    let ask = |format: &str| json!({"model": NAME, "input": "a", "encoding_format": format});
    let (got, asked) = exchange("/v1/embeddings", ask("base64"), says()).await;
    assert_eq!(got["data"][0]["embedding"], "AACAPwAAAL8=");
    assert_eq!(asked["encoding_format"], "float", "the engine need not know base64");
    let (got, _) = exchange("/v1/embeddings", ask("float"), says()).await;
    assert_eq!(got["data"][0]["embedding"], json!([1, -0.5]));
}

#[tokio::test]
async fn an_engines_422_is_a_400() {
    let says = json!({"error": {"message": "top_k is odd", "param": "top_k", "code": 3}}).to_string();
    let engine = Engine::start(answer_json("422 Unprocessable Entity", &says));
    let plane = Plane::with(&[&engine]).await;
    let answer = plane.ask(false).await.answer().await;
    let error = &answer.json()["error"];
    assert_eq!(
        (answer.status, &error["param"], &error["message"]),
        (400, &"top_k".into(), &"top_k is odd".into())
    );
}

#[tokio::test]
async fn what_is_not_an_answer_is_a_502() {
    for says in ["", "[]", "{\"choices\":7}", "{\"choices\":[{\"finish_reason\":\"abort\"}]}"] {
        let engine = Engine::start(answer_json("200 OK", says));
        let plane = Plane::with(&[&engine]).await;
        let answer = plane.ask(false).await.answer().await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (502, &"replica_failed".into()),
            "{says}"
        );
    }
}

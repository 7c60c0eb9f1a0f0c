//! Forms that replies are held to: which are taken, which are refused, and what one may cost everybody else.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::client::{self, Events};
use crate::engine::Engine;

const CHAT: &str = "/v1/chat/completions";

fn hello(more: Value) -> Value {
    let mut body =
        json!({"messages": [{"role": "user", "content": "Time?"}], "max_tokens": 40, "temperature": 0});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn schema(schema: Value) -> Value {
    hello(json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}}))
}

fn weather(parameters: Value) -> Value {
    json!([{"type": "function", "function": {"name": "get_weather", "parameters": parameters}}])
}

/// As 30 patterns at once: each is cheap, and all together are not.
fn bomb(salt: usize) -> Value {
    let patterns: Vec<_> = (0..30)
        .map(|it| json!({"type": "string", "pattern": format!("^.*a.{{{}}}$", 40 + it + salt)}))
        .collect();
    schema(json!({ "allOf": patterns }))
}

fn properties(n: usize, salt: usize) -> Value {
    let all: Map<String, Value> =
        (0..n).map(|it| (format!("property_{salt}_{it}"), json!({"type": "integer"}))).collect();
    let required: Vec<_> = all.keys().cloned().collect();
    schema(json!({"type": "object", "properties": all, "required": required, "additionalProperties": false}))
}

async fn ask(engine: &Engine, body: &Value) -> (u16, Value) {
    let (status, answer) = client::post(&engine.socket(), CHAT, body).await;
    (status.as_u16(), answer)
}

#[tokio::test]
async fn schema_that_constrains_nothing_is_taken_and_a_cycle_is_not() {
    let engine = Engine::start(&[]).await;
    for taken in [
        json!({"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": false, "maxItems": 2}),
        json!({"type": "string", "format": "binary", "maxLength": 4}),
        json!({"type": "object", "properties": {"a": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 9}},
            "required": ["a"], "unevaluatedProperties": false}),
        json!({"type": "string", "maxLength": 2_147_483_647, "pattern": "^[ab]{3}$"}),
        json!({"$defs": {"n": {"type": "object", "properties": {"n": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}},
            "required": ["n"], "additionalProperties": false}}, "$ref": "#/$defs/n"}),
    ] {
        let (status, answer) = ask(&engine, &schema(taken.clone())).await;
        assert_eq!(status, 200, "{taken}: {answer}");
    }
    for (refused, cause) in [
        (json!({"$ref": "#"}), "back to itself"),
        (json!({"$defs": {"A": {"$ref": "#/$defs/A"}}, "$ref": "#/$defs/A"}), "`$defs.A`"),
        (json!({"type": "array", "items": {"type": "integer"}, "uniqueItems": true}), "`uniqueItems`"),
        (json!({"oneOf": [{"type": "string", "minLength": 2}, {"type": "string"}]}), "oneOf"),
        (json!({"type": "string", "pattern": "^a$", "maxLength": 0}), "cannot be followed"),
    ] {
        let (status, answer) = ask(&engine, &schema(refused.clone())).await;
        assert_eq!(status, 400, "{refused}: {answer}");
        let error = &answer["error"];
        assert_eq!(error["param"], "response_format", "{error}");
        assert!(error["message"].as_str().unwrap().contains(cause), "{error}");
    }
}

#[tokio::test]
async fn tool_whose_schema_can_not_be_followed_is_named() {
    let engine = Engine::start(&[]).await;
    let call = |parameters: Value| hello(json!({"tools": weather(parameters), "tool_choice": "required"}));
    for (parameters, cause) in [
        (json!({"type": "object", "properties": {"a": {"not": {}}}}), "`properties.a.not`"),
        (
            json!({"type": "object", "properties": {"a": {"oneOf": [{"type": "string"}, {"minLength": 2}]}}, "required": ["a"]}),
            "oneOf",
        ),
    ] {
        let (status, answer) = ask(&engine, &call(parameters)).await;
        assert_eq!(status, 400, "{answer}");
        assert_eq!(answer["error"]["param"], "tools[0].function.parameters", "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(cause), "{answer}");
    }
    // Definitions of one name in two tools are two, and `#` is the parameters' own root.
    let own = |kind: &str| {
        json!({"type": "object", "properties": {"v": {"$ref": "#/$defs/v"}, "w": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["v", "w"], "additionalProperties": false, "$defs": {"v": {"type": kind}}})
    };
    let tools = json!([
        {"type": "function", "function": {"name": "a", "parameters": own("null")}},
        {"type": "function", "function": {"name": "b", "parameters": own("boolean")}},
    ]);
    for (name, value) in [("a", &["null"][..]), ("b", &["true", "false"][..])] {
        let choice = json!({"type": "function", "function": {"name": name}});
        let body = hello(
            json!({"tools": tools, "tool_choice": choice, "max_tokens": 120, "logit_bias": {"110": 20}}),
        );
        let (status, answer) = ask(&engine, &body).await;
        assert_eq!(status, 200, "{answer}");
        let call = &answer["choices"][0]["message"]["tool_calls"][0]["function"];
        assert_eq!(call["name"], name, "{answer}");
        let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
        assert!(value.contains(&&*arguments["v"].to_string()), "{arguments}");
    }
}

#[tokio::test]
async fn format_beside_tools_is_a_call_or_the_form() {
    let engine = Engine::start(&[]).await;
    let tools = weather(
        json!({"type": "object", "properties": {"city": {"type": "string", "maxLength": 4}}, "required": ["city"], "additionalProperties": false}),
    );
    let format = json!({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object",
        "properties": {"x": {"type": "string", "maxLength": 3}}, "required": ["x"], "additionalProperties": false}}});
    // Letters are tokens of the demo model: `<` begins a call, `{` the form.
    for (first, is_call) in [("60", true), ("123", false)] {
        let body = hello(
            json!({"tools": tools, "response_format": format, "logit_bias": {first: 100}, "max_tokens": 120}),
        );
        let (status, answer) = ask(&engine, &body).await;
        assert_eq!(status, 200, "{answer}");
        let message = &answer["choices"][0]["message"];
        if is_call {
            assert_eq!(message["tool_calls"][0]["function"]["name"], "get_weather", "{answer}");
        } else {
            let said: Value = serde_json::from_str(message["content"].as_str().unwrap()).unwrap();
            assert!(said["x"].is_string(), "{answer}");
        }
    }
    // A pattern is about all that is written.
    let regex = json!({"type": "regex", "pattern": "(yes|no)"});
    let body = hello(json!({"tools": tools, "response_format": regex, "logit_bias": {"60": 100}}));
    let (_, answer) = ask(&engine, &body).await;
    let said = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(["yes", "no"].contains(&said), "{answer}");
}

#[tokio::test]
async fn schema_beyond_a_limit_is_400_and_the_engine_goes_on() {
    let engine = Engine::start(&[]).await;
    let mut stream = Events::open(
        &engine.socket(),
        "/v1/completions",
        &json!({"prompt": "Once", "max_tokens": 1000, "stream": true, "ignore_eos": true}),
    )
    .await;
    stream.next().await.unwrap();
    let (status, answer) = ask(&engine, &properties(5_000, 0)).await;
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("response_format")), "{answer}");
    let (status, answer) = ask(&engine, &properties(4_000, 0)).await;
    assert!(matches!(status, 200 | 400), "{answer}");
    let nested = (0..60).fold(json!({"type": "null"}), |inner, _| json!({"type": "array", "items": inner}));
    assert_eq!(ask(&engine, &schema(nested)).await.0, 400);
    let pattern = hello(json!({"response_format": {"type": "regex", "pattern": "a".repeat(20_000)}}));
    assert_eq!(ask(&engine, &pattern).await.0, 400);
    stream.next().await.expect("the stream goes on");
}

#[tokio::test]
async fn compiling_beyond_its_bounds_is_400_and_holds_up_nobody() {
    let engine = Engine::start(&[]).await;
    let bombs = async {
        let one = bomb(0);
        let other = bomb(100);
        tokio::join!(ask(&engine, &one), ask(&engine, &other))
    };
    let others = async {
        let started = Instant::now();
        let plain = schema(
            json!({"type": "object", "properties": {"x": {"type": "string", "maxLength": 3}}, "required": ["x"], "additionalProperties": false}),
        );
        for _ in 0..3 {
            assert_eq!(ask(&engine, &plain).await.0, 200);
        }
        started.elapsed()
    };
    let started = Instant::now();
    let (bombs, others) = tokio::join!(bombs, others);
    for (status, answer) in [bombs.0, bombs.1] {
        // On a busy machine it may not get to its bounds within the time that anybody waits.
        assert!(
            status == 503 || (status, &answer["error"]["param"]) == (400, &json!("response_format")),
            "{answer}"
        );
    }
    assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
    assert!(others < Duration::from_secs(5), "{others:?}");
    assert!(engine.memory_mib() < 400, "{} MiB", engine.memory_mib());
    engine.until("alone", async || engine.children() == 0).await;
}

#[tokio::test]
async fn compiling_ends_when_its_client_leaves() {
    let engine = Engine::start(&[]).await;
    let body = bomb(7).to_string();
    let socket = engine.socket();
    let asking = client::send(&socket, "POST", CHAT, &body);
    let left = async {
        engine.until("compiling", async || engine.children() == 1).await;
    };
    tokio::select! {
        answer = asking => panic!("answered: {:?}", answer.map(|it| it.0.status())),
        () = left => {}
    }
    // The connection was dropped with the future.
    let started = Instant::now();
    engine.until("alone", async || engine.children() == 0).await;
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

//! What the engine is sent for what the client sent, and which field a refusal names.

use serde_json::{Value, json};

use super::{Kind, Parsed};
use crate::error::ApiError;

fn translate(kind: Kind, body: &Value) -> Result<Value, ApiError> {
    let body = body.to_string();
    let job = Parsed::read(kind, body.as_bytes())?.translate(4_096)?;
    Ok(serde_json::from_slice(&job.body_for("m")).unwrap())
}

/// A chat with more fields.
fn chat(more: Value) -> Result<Value, ApiError> {
    let mut body = json!({"model": "e", "messages": [{"role": "user", "content": "x"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    translate(Kind::Chat, &body)
}

#[test]
fn request_fields_arrive_in_the_engines_form() {
    let schema = json!({"type": "object"});
    let tools =
        json!([{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"a": 1}}}]);
    let named = json!({"type": "function", "function": {"name": "f"}});
    let begun = json!([{"role": "user", "content": "x"}, {"role": "assistant", "content": "The"}]);
    let cases = [
        (json!({"stop": "a"}), "stop", json!(["a"])),
        (json!({"stop": ["a", "b"]}), "stop", json!(["a", "b"])),
        (json!({"stop": []}), "stop", Value::Null),
        (json!({"stop": vec!["</s>"; 64]}), "stop", json!(vec!["</s>"; 64])),
        (json!({"add_generation_prompt": true}), "add_generation_prompt", Value::Null),
        (json!({"add_generation_prompt": false}), "add_generation_prompt", json!(false)),
        (json!({"continue_final_message": false}), "continue_final_message", Value::Null),
        (json!({"messages": begun, "continue_final_message": true}), "continue_final_message", json!(true)),
        (json!({"messages": begun, "continue_final_message": true}), "add_generation_prompt", json!(false)),
        (json!({"logprobs": true}), "top_logprobs", json!(1)),
        (json!({"logprobs": 5}), "logprobs", json!(true)),
        (json!({"logprobs": 5}), "top_logprobs", json!(5)),
        (json!({"logprobs": false}), "logprobs", Value::Null),
        (json!({"logprobs": true, "top_logprobs": 5}), "top_logprobs", json!(5)),
        (json!({"logprobs": true, "top_logprobs": 0}), "top_logprobs", json!(0)),
        (json!({"top_logprobs": 4}), "logprobs", json!(true)),
        (json!({"logprobs": 2, "top_logprobs": 4}), "top_logprobs", json!(4)),
        (json!({"stream": true}), "stream_options", json!({"include_usage": true})),
        (
            json!({"stream": true, "stream_options": {"include_usage": false}}),
            "stream_options",
            json!({"include_usage": true}),
        ),
        (json!({"max_completion_tokens": 7}), "max_tokens", json!(7)),
        (
            json!({"max_tokens": 9999, "context_length_exceeded_behavior": "truncate"}),
            "max_tokens",
            json!(4096),
        ),
        (json!({"n": 1}), "n", Value::Null),
        (json!({"n": 3}), "n", json!(3)),
        (json!({"user": "me"}), "user", Value::Null),
        (json!({"tools": tools}), "tools", tools.clone()),
        (json!({"tools": tools, "tool_choice": "required"}), "tool_choice", json!("required")),
        (json!({"tools": tools, "tool_choice": "f"}), "tool_choice", named.clone()),
        (json!({"tools": tools, "tool_choice": named}), "tool_choice", named.clone()),
        (json!({"tools": tools, "function_call": {"name": "f"}}), "tool_choice", named.clone()),
        (json!({"response_format": {"type": "text"}}), "response_format", json!({"type": "text"})),
        (
            json!({"response_format": {"type": "json_object"}}),
            "response_format",
            json!({"type": "json_object"}),
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema, "strict": true}}}),
            "response_format",
            json!({"type": "json_schema", "json_schema": {"name": "s", "schema": schema, "strict": true}}),
        ),
        (
            json!({"response_format": {"type": "json_schema", "schema": schema}}),
            "response_format",
            json!({"type": "json_schema", "json_schema": {"name": "response", "schema": schema}}),
        ),
        (
            json!({"response_format": {"type": "json_object", "schema": schema}}),
            "response_format",
            json!({"type": "json_schema", "json_schema": {"name": "response", "schema": schema}}),
        ),
        (
            json!({"response_format": {"type": "regex", "pattern": "a+"}}),
            "response_format",
            json!({"type": "regex", "pattern": "a+"}),
        ),
        (json!({"reasoning": {"enabled": false}}), "chat_template_kwargs", json!({"enable_thinking": false})),
        (json!({"chat_template_kwargs": {"a": [1]}}), "chat_template_kwargs", json!({"a": [1]})),
        (
            json!({"chat_template_kwargs": {"a": 1}, "reasoning": {"enabled": true}}),
            "chat_template_kwargs",
            json!({"a": 1, "enable_thinking": true}),
        ),
        (
            json!({"chat_template_kwargs": {"enable_thinking": false}, "reasoning": {"enabled": true}}),
            "chat_template_kwargs",
            json!({"enable_thinking": false}),
        ),
        (json!({"reasoning_effort": "low"}), "reasoning_effort", json!("low")),
        (json!({"reasoning_effort": "none"}), "reasoning_effort", json!("none")),
        (json!({"reasoning": {"effort": "minimal"}}), "reasoning_effort", json!("minimal")),
        (json!({"reasoning": {"effort": "high"}}), "reasoning_effort", json!("high")),
        (
            json!({"reasoning": {"effort": "high"}, "reasoning_effort": "low"}),
            "reasoning_effort",
            json!("low"),
        ),
        (json!({"tools": tools, "parallel_tool_calls": false}), "parallel_tool_calls", json!(false)),
        (json!({"parallel_tool_calls": false}), "parallel_tool_calls", Value::Null),
        (json!({"best_of": 1, "suffix": "", "functions": []}), "best_of", Value::Null),
        (json!({"echo": true}), "echo", json!(true)),
        (json!({"echo": false}), "echo", Value::Null),
        (json!({"safety_model": "none"}), "safety_model", Value::Null),
        (json!({"safety_model": null, "compliance": null}), "compliance", Value::Null),
        (json!({"logit_bias": {"50256": -100}}), "logit_bias", json!({"50256": -100.0})),
    ];
    for (more, field, wanted) in cases {
        let sent = chat(more.clone()).unwrap_or_else(|err| panic!("{more}: {err}"));
        assert_eq!(sent[field], wanted, "{more}");
        assert_eq!(sent["model"], "m");
    }
    let completion =
        translate(Kind::Completions, &json!({"model": "e", "prompt": "p", "logprobs": 2})).unwrap();
    assert_eq!(completion, json!({"model": "m", "stream": false, "prompt": "p", "logprobs": 2}));
}

#[test]
fn a_refusal_names_its_field() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let begun = json!([{"role": "assistant", "content": "The"}]);
    let called =
        json!([{"role": "assistant", "content": "", "tool_calls": [{"id": "c", "function": {"name": "f"}}]}]);
    let cases = [
        (json!({"messages": []}), "messages"),
        (json!({"messages": [{"content": "x"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "robot", "content": "x"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user"}]}), "messages[0].content"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}),
            "messages[0].content[0]",
        ),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": 4097}), "max_tokens"),
        (json!({"temperature": -0.1}), "temperature"),
        (json!({"top_p": 1.1}), "top_p"),
        (json!({"n": 129}), "n"),
        (json!({"n": 0}), "n"),
        (json!({"logprobs": 21}), "logprobs"),
        (json!({"stop": vec!["a"; 65]}), "stop"),
        (json!({"stop": "a".repeat(257)}), "stop"),
        (json!({"continue_final_message": true}), "continue_final_message"),
        (
            json!({"messages": begun, "continue_final_message": true, "add_generation_prompt": true}),
            "continue_final_message",
        ),
        (json!({"messages": called, "continue_final_message": true}), "continue_final_message"),
        (json!({"stop": ""}), "stop"),
        (json!({"tool_choice": "f"}), "tool_choice"),
        (json!({"response_format": {"type": "xml"}}), "response_format.type"),
        (json!({"response_format": {"type": "json_schema"}}), "response_format.json_schema"),
        (json!({"response_format": {"type": "regex"}}), "response_format.pattern"),
        (json!({"context_length_exceeded_behavior": "cut"}), "context_length_exceeded_behavior"),
        (json!({"logit_bias": {"the": 1}}), "logit_bias"),
        (json!({"model": ""}), "model"),
        (json!({"chat_template_kwargs": [1]}), "chat_template_kwargs"),
        (json!({"reasoning_effort": "most"}), "reasoning_effort"),
        (json!({"safety_model": "guard"}), "safety_model"),
        (json!({"safety_model": 1}), "safety_model"),
        (json!({"compliance": "hipaa"}), "compliance"),
        (json!({"top_logprobs": 21}), "top_logprobs"),
        (json!({"logprobs": false, "top_logprobs": 1}), "top_logprobs"),
        (json!({"functions": [{"name": "f"}]}), "functions"),
        (json!({"best_of": 2}), "best_of"),
        (json!({"suffix": "x"}), "suffix"),
        (json!({"reasoning": {"effort": "bogus"}}), "reasoning.effort"),
        (
            json!({"messages": [{"role": "assistant", "content": null, "function_call": {"name": "f"}}]}),
            "messages[0].function_call",
        ),
        (
            json!({"tools": tools, "tool_choice": "required", "response_format": {"type": "json_object"}}),
            "response_format",
        ),
        (
            json!({"tools": tools, "tool_choice": "f", "response_format": {"type": "regex", "pattern": "a"}}),
            "response_format",
        ),
    ];
    for (more, field) in cases {
        let refused = chat(more.clone()).unwrap_err();
        let ApiError::Invalid { param, message } = &refused else { panic!("{more}: {refused:?}") };
        assert_eq!(param.as_deref(), Some(field), "{more}: {message}");
    }
    let embed = |input: Value| translate(Kind::Embeddings, &json!({"model": "e", "input": input}));
    for input in [
        json!([]),
        json!(""),
        json!(["a", ""]),
        json!(["a", 1]),
        json!([1, 2]),
        json!([[1], [2, 3]]),
        json!(5),
        json!({}),
        Value::Null,
    ] {
        let refused = embed(input.clone()).unwrap_err();
        let ApiError::Invalid { param, .. } = &refused else { panic!("{input}: {refused:?}") };
        assert!(param.as_deref().is_some_and(|it| it.starts_with("input")), "{input}: {refused:?}");
    }
    for input in [json!("a"), json!(["a", "b"])] {
        assert_eq!(embed(input.clone()).unwrap()["input"], input);
    }
}

#[test]
fn completion_refuses_what_only_a_chat_can_do() {
    let completion = |more: &Value| {
        let mut body = json!({"model": "e", "prompt": "x"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        translate(Kind::Completions, &body)
    };
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for (field, value) in [
        ("messages", json!([{"role": "user", "content": "x"}])),
        ("tools", tools),
        ("tool_choice", json!("required")),
        ("function_call", json!("auto")),
        ("response_format", json!({"type": "json_object"})),
        ("reasoning_effort", json!("low")),
        ("reasoning", json!({"enabled": true})),
        ("chat_template_kwargs", json!({"a": 1})),
        ("continue_final_message", json!(true)),
        ("add_generation_prompt", json!(true)),
        ("safety_model", json!("guard")),
        ("compliance", json!("hipaa")),
        ("top_logprobs", json!(1)),
        ("functions", json!([{"name": "f"}])),
        ("best_of", json!(4)),
        ("suffix", json!("the end")),
    ] {
        let more = json!({field: value});
        let Err(ApiError::Invalid { param, .. }) = completion(&more) else { panic!("{more} is skipped") };
        assert_eq!(param.as_deref(), Some(field));
    }
    let nothing =
        json!({"tools": [], "response_format": {"type": "text"}, "messages": null, "reasoning": {}});
    assert!(completion(&nothing).is_ok());
}

#[test]
fn prompt_as_a_list_of_one_is_that_text() {
    let sent = |prompt: Value| translate(Kind::Completions, &json!({"model": "e", "prompt": prompt}));
    assert_eq!(sent(json!(["Hello"])).unwrap()["prompt"], "Hello");
    for (prompt, field) in [
        (json!([]), "prompt"),
        (json!(["a", "b"]), "prompt"),
        (json!([1, 2]), "prompt[0]"),
        (json!([[1, 2]]), "prompt[0]"),
        (json!(["a", 1]), "prompt[1]"),
        (json!(7), "prompt"),
        (Value::Null, "prompt"),
    ] {
        let refused = sent(prompt.clone()).unwrap_err();
        let ApiError::Invalid { param, message } = &refused else { panic!("{prompt}: {refused:?}") };
        assert_eq!(param.as_deref(), Some(field), "{prompt}: {message}");
    }
}

#[test]
fn embedding_dimensions_are_checked_by_the_engine() {
    let asked = json!({"model": "e", "input": "a", "dimensions": 256});
    assert_eq!(translate(Kind::Embeddings, &asked).unwrap()["dimensions"], 256);
    let free = json!({"model": "e", "input": "a"});
    assert_eq!(translate(Kind::Embeddings, &free).unwrap()["dimensions"], Value::Null);
}

/// The published description of chat and of completions.
fn described(name: &str) -> serde_json::Map<String, Value> {
    let document = dedi_api::openapi::document("0");
    document["components"]["schemas"][name]["properties"].as_object().unwrap().clone()
}

#[test]
fn described_bounds_are_checked_to_the_last_digit() {
    for (kind, name) in [(Kind::Chat, "ChatCompletionRequest"), (Kind::Completions, "CompletionRequest")] {
        let mut n_bounds = 0;
        for (field, schema) in described(name) {
            for (bound, beyond) in [("minimum", -1.0), ("maximum", 1.0)] {
                let Some(limit) = schema[bound].as_f64().filter(|it| it.abs() < 1e15) else { continue };
                n_bounds += 1;
                let with = |value: f64| {
                    let value = if value.fract() == 0.0 { json!(value as i64) } else { json!(value) };
                    let mut body = match kind {
                        Kind::Chat => json!({"model": "e", "messages": [{"role": "user", "content": "x"}]}),
                        Kind::Completions | Kind::Embeddings => json!({"model": "e", "prompt": "x"}),
                    };
                    body[&field] = value;
                    translate(kind, &body)
                };
                assert!(with(limit).is_ok(), "{field} {limit}");
                let step = if schema["type"][0] == "integer" { 1.0 } else { 0.001 };
                let Err(ApiError::Invalid { param, .. }) = with(limit + beyond * step) else {
                    panic!("{field} beyond {limit} is accepted");
                };
                assert_eq!(param, Some(field.clone()));
            }
        }
        assert!(n_bounds >= 16, "{n_bounds}");
    }
}

#[test]
fn described_routes_are_those_served() {
    let document = dedi_api::openapi::document("0");
    let described: Vec<(String, String)> = dedi_api::openapi::operations(&document)
        .into_iter()
        .filter(|(method, path)| {
            document["paths"][path][method.to_ascii_lowercase()]["tags"][0] == "Inference"
        })
        .collect();
    let mut routes = Kind::ALL.map(|it| ("POST".to_owned(), it.path().to_owned()));
    routes.sort();
    assert_eq!(described, routes);
}

#[test]
fn json_objects_are_objects_and_whole_numbers_may_have_a_point() {
    let refused = |more: Value| match chat(more) {
        Err(ApiError::Invalid { param, .. }) => param.unwrap_or_default(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(json!({"messages": [["user", "x"]]})), "messages[0]");
    assert_eq!(refused(json!({"tools": [["function", {"name": "f"}]]})), "tools[0]");
    assert_eq!(refused(json!({"tools": [{"function": ["f"]}]})), "tools[0].function");
    assert_eq!(refused(json!({"reasoning": [true]})), "reasoning");
    assert_eq!(
        refused(json!({"response_format": {"type": "text", "json_schema": ["a"]}})),
        "response_format.json_schema"
    );
    assert_eq!(refused(json!({"max_tokens": 5, "max_completion_tokens": 0})), "max_completion_tokens");
    assert_eq!(refused(json!({"seed": 1e300})), "seed");
    assert_eq!(refused(json!({"n": 1.5})), "n");
    assert_eq!(chat(json!({"max_tokens": 60.0})).unwrap()["max_tokens"], 60);
    assert_eq!(chat(json!({"logprobs": 2.0})).unwrap()["top_logprobs"], 2);
}

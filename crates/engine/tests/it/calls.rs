use serde_json::{Value, json};

use crate::client::{self, Events};
use crate::engine::Engine;

const CHAT: &str = "/v1/chat/completions";

fn asked(more: Value) -> Value {
    let schema = json!({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
        "additionalProperties": false});
    let mut body = json!({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 200, "seed": 3,
        "tools": [{"type": "function", "function": {"name": "set", "parameters": schema}}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// What was said: content, the first call's name and arguments, why it ended.
type Said = (Option<String>, Option<(String, String)>, String);

/// The first call of what came, in one piece or in fragments.
fn call<'a>(of: impl IntoIterator<Item = &'a Value>) -> Option<(String, String)> {
    let mut first: Option<(String, String)> = None;
    let calls =
        of.into_iter().filter_map(|it| it["tool_calls"].as_array()).flatten().filter(|it| it["index"] == 0);
    for call in calls {
        let function = &call["function"];
        let (name, arguments) = first.get_or_insert_default();
        assert_eq!(function["name"].is_string(), name.is_empty(), "its name comes once and first: {call}");
        assert_eq!(function["name"].is_string(), call["id"].is_string(), "and so does its id: {call}");
        name.push_str(function["name"].as_str().unwrap_or_default());
        arguments.push_str(function["arguments"].as_str()?);
    }
    first
}

async fn whole(engine: &Engine, more: Value) -> Said {
    let (status, answer) = client::post(&engine.socket(), CHAT, &asked(more)).await;
    assert_eq!(status, 200, "{answer}");
    let choice = &answer["choices"][0];
    let content = choice["message"]["content"].as_str().map(str::to_owned);
    (content, call([&choice["message"]]), choice["finish_reason"].as_str().unwrap().to_owned())
}

/// The same, of a stream; no content at all reads like an empty one there.
async fn streamed(engine: &Engine, mut more: Value) -> Said {
    more["stream"] = json!(true);
    let chunks = Events::open(&engine.socket(), CHAT, &asked(more)).await.chunks().await;
    let deltas = || chunks.iter().map(|it| &it["choices"][0]["delta"]);
    let content: String = deltas().filter_map(|it| it["content"].as_str()).collect();
    let finish = chunks.iter().find_map(|it| it["choices"][0]["finish_reason"].as_str());
    (Some(content).filter(|it| !it.is_empty()), call(deltas()), finish.unwrap().to_owned())
}

fn pattern(reply: &str) -> Value {
    let special = |it: char| "{}[]".contains(it);
    let pattern = reply.chars().flat_map(|it| special(it).then_some('\\').into_iter().chain([it]));
    json!({"type": "regex", "pattern": pattern.collect::<String>()})
}

#[tokio::test]
async fn stop_texts_end_what_is_read_and_no_call() {
    let engine = Engine::start(&[]).await;
    for stop in ["tool", "\n", "<", "ok"] {
        let (content, call, finish) =
            whole(&engine, json!({"tool_choice": "required", "stop": [stop]})).await;
        let (name, arguments) = call.unwrap_or_else(|| panic!("{stop:?} ended the call after {content:?}"));
        assert_eq!((content, name.as_str(), finish.as_str()), (None, "set", "tool_calls"));
        assert!(serde_json::from_str::<Value>(&arguments).unwrap()["ok"].is_boolean());
    }
    let reply = "Look here<tool_call>\n{\"name\": \"set\", \"arguments\": {\"ok\": true}}\n</tool_call>";
    for (stop, content, is_called) in [("here", "Look", false), ("name", "Look here", true)] {
        let more = json!({"stop": [stop], "response_format": pattern(reply)});
        for (said, call, finish) in [whole(&engine, more.clone()).await, streamed(&engine, more).await] {
            assert_eq!(said.as_deref().map(str::trim_end), Some(content));
            assert_eq!(
                (call.is_some(), finish.as_str()),
                (is_called, if is_called { "tool_calls" } else { "stop" })
            );
        }
    }
}

#[tokio::test]
async fn a_call_that_is_cut_off_is_a_call_as_far_as_it_came() {
    let engine = Engine::start(&[]).await;
    let mut longest = String::new();
    for max_tokens in (5..60).step_by(6) {
        let more = json!({"tool_choice": "required", "max_tokens": max_tokens, "temperature": 0});
        for (content, call, finish) in [whole(&engine, more.clone()).await, streamed(&engine, more).await] {
            let (name, arguments) = call.unwrap_or_else(|| panic!("{content:?} at {max_tokens}"));
            assert_eq!((content, name.as_str()), (None, "set"), "at {max_tokens}");
            assert!(arguments.starts_with(longest.trim_end()), "{longest} was shortened to {arguments}");
            let is_whole = serde_json::from_str::<Value>(&arguments).is_ok();
            assert!(is_whole || finish == "length", "{arguments} ends with {finish}");
            longest = arguments;
        }
    }
    assert!(longest.starts_with("{\"ok\""), "{longest}");
    let reply = "Look here\n<tool_call>\n{\"name\": \"set\", \"arguments\": {\"ok\": true}}\n</tool_call>";
    let more = json!({"max_tokens": 45, "response_format": pattern(reply)});
    for (content, call, finish) in [whole(&engine, more.clone()).await, streamed(&engine, more).await] {
        assert_eq!((content.as_deref(), finish.as_str()), (Some("Look here"), "length"));
        assert_eq!(call.unwrap().0, "set");
    }
}

fn case(reply: &str) -> Value {
    let weather = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    json!({"messages": [{"role": "user", "content": "Weather?"}], "max_tokens": 400, "response_format": pattern(reply),
        "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": weather}},
                  {"type": "function", "function": {"name": "now", "description": "The time"}}]})
}

#[tokio::test]
async fn calls_in_the_forms_of_other_families_are_calls() {
    let engine = Engine::start(&[]).await;
    for (reply, name, arguments) in [
        (
            "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>",
            "get_weather",
            "{\"city\":\"Paris\"}",
        ),
        (
            "[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}, \"id\": \"abcdefghi\"}]",
            "get_weather",
            "{\"city\":\"Paris\"}",
        ),
        ("[TOOL_CALLS]get_weather[ARGS]{\"city\": \"Paris\"}", "get_weather", "{\"city\":\"Paris\"}"),
        ("<tool_call>\n{\"name\": \"now\"}\n</tool_call>", "now", "{}"),
    ] {
        for (content, call, finish) in
            [whole(&engine, case(reply)).await, streamed(&engine, case(reply)).await]
        {
            assert_eq!(content, None, "{reply}");
            assert_eq!(call, Some((name.to_owned(), arguments.to_owned())), "{reply}");
            assert_eq!(finish, "tool_calls");
        }
    }
}

#[tokio::test]
async fn call_arguments_are_streamed_as_they_come() {
    let engine = Engine::start(&[]).await;
    let reply = "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Saint-Étienne-du-Rouvray\"}}\n</tool_call>";
    let mut body = case(reply);
    body["stream"] = json!(true);
    let chunks = Events::open(&engine.socket(), CHAT, &body).await.chunks().await;
    let calls = chunks.iter().filter(|it| it["choices"][0]["delta"]["tool_calls"][0].is_object()).count();
    assert!(calls > 3, "{calls} events tell the call");
    let said = call(chunks.iter().map(|it| &it["choices"][0]["delta"])).unwrap();
    assert_eq!(said.1, "{\"city\":\"Saint-Étienne-du-Rouvray\"}");
}

#[tokio::test]
async fn two_calls_have_an_index_each() {
    let engine = Engine::start(&[]).await;
    let one = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
    let mut body = case(&format!("{one}\n{one}"));
    let (_, answer) = client::post(&engine.socket(), CHAT, &body).await;
    let calls = &answer["choices"][0]["message"]["tool_calls"];
    assert_eq!((&calls[0]["index"], &calls[1]["index"]), (&json!(0), &json!(1)), "{answer}");
    assert_ne!(calls[0]["id"], calls[1]["id"]);
    body["stream"] = json!(true);
    let chunks = Events::open(&engine.socket(), CHAT, &body).await.chunks().await;
    let calls = chunks.iter().filter_map(|it| it["choices"][0]["delta"]["tool_calls"].as_array()).flatten();
    let named: Vec<_> = calls.filter(|it| it["id"].is_string()).map(|it| it["index"].clone()).collect();
    assert_eq!(named, [json!(0), json!(1)]);
}

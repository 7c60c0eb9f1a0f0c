//! Chat templates of other kinds than the demo model's: put beside a model, and what comes of requests then.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client;
use crate::engine::{Engine, demo_model};

/// The demo model with another template beside it.
fn model_with(template: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let model = folder.path().join("demo.gguf");
    std::os::unix::fs::symlink(demo_model().canonicalize().unwrap(), &model).unwrap();
    std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    (folder, model)
}

async fn serving(model: &Path) -> Engine {
    let engine = Engine::launch(model, &[]);
    let healthy = async || client::get(&engine.socket(), "/health").await.is_ok_and(|it| it.0 == 200);
    engine.until("healthy", healthy).await;
    engine
}

async fn chat(engine: &Engine, mut body: Value) -> (u16, Value) {
    body["max_tokens"] = json!(2);
    body["echo"] = json!(true);
    let (status, answer) = client::post(&engine.socket(), "/v1/chat/completions", &body).await;
    (status.as_u16(), answer)
}

fn prompt(answer: &(u16, Value)) -> &str {
    assert_eq!(answer.0, 200, "{}", answer.1);
    answer.1["prompt"]["text"].as_str().unwrap()
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn now_called(id: &str, arguments: &str) -> Vec<Value> {
    let call = json!({"id": id, "type": "function", "function": {"name": "now", "arguments": arguments}});
    vec![
        user("Time?"),
        json!({"role": "assistant", "content": null, "tool_calls": [call]}),
        json!({"role": "tool", "tool_call_id": id, "content": "12:00"}),
    ]
}

fn now() -> Value {
    json!([{"type": "function", "function": {"name": "now", "description": "The time"}}])
}

#[tokio::test]
async fn template_generation_tag_adds_nothing() {
    let (_folder, model) = model_with(
        b"{%- for m in messages -%}{%- if m.role == 'assistant' -%}A{% generation %}{{ m.content }}{% endgeneration %}
{%- else -%}U{{ m.content }}{%- endif -%}{%- endfor -%}{%- if add_generation_prompt -%}A{%- endif -%}",
    );
    let engine = serving(&model).await;
    let messages = json!([user("Hello"), {"role": "assistant", "content": "Hi"}, user("You")]);
    assert_eq!(prompt(&chat(&engine, json!({"messages": messages})).await), "UHelloAHiUYouA");
    assert!(engine.log().contains("chat_template.jinja"), "{}", engine.log());
}

#[tokio::test]
async fn template_that_wants_short_ids_and_counts_tools_is_served() {
    let (_folder, model) = model_with(
        br#"{%- for m in messages -%}{%- if m.tool_calls -%}{%- for c in m.tool_calls -%}
{%- if c.id is not defined or c.id|length != 9 -%}{{ raise_exception("a call id must be nine letters or digits") }}{%- endif -%}
[CALL]{{ c.function.name }} {{ c.function.arguments|tojson }} {{ c.id }}{%- endfor -%}
{%- elif m.role == "tool" -%}[RESULT]{{ m.tool_call_id }} {{ m.content }}{%- else -%}[{{ m.role }}]{{ m.content }}{%- endif -%}
{%- endfor -%}{%- if tools is not none and tools|length > 0 -%}[TOOLS]{{ tools|tojson }}{%- endif -%}"#,
    );
    let engine = serving(&model).await;
    assert_eq!(prompt(&chat(&engine, json!({"messages": [user("Hello")]})).await), "[user]Hello");
    let messages = now_called("call_b5883b41352a4591ae5ba081fdee2c73", "{}");
    let answer = chat(&engine, json!({"messages": messages, "tools": now()})).await;
    let text = prompt(&answer);
    let (_, after) = text.split_once("[CALL]now {} ").unwrap();
    let (id, after) = after.split_at(9);
    assert!(after.starts_with(&format!("[RESULT]{id} 12:00[TOOLS]")), "{text}");
}

#[tokio::test]
async fn template_that_walks_arguments_gets_an_object() {
    let (_folder, model) = model_with(
        br#"{%- for m in messages -%}{{ m.role }}: {{ m.content or "" }}{%- for c in m.tool_calls or [] -%}
<function={{ c.function.name }}>{% for k, v in c.function.arguments|items %}<{{ k }}>{{ v }}{% endfor %}</function>
{%- endfor %}
{% endfor -%}{{ tools|tojson }}"#,
    );
    let engine = serving(&model).await;
    for (arguments, shown) in [("", ""), (" ", ""), ("{\"a\": 1}", "<a>1")] {
        let messages = now_called("call_1", arguments);
        let answer = chat(&engine, json!({"messages": messages, "tools": now()})).await;
        assert!(
            prompt(&answer).contains(&format!("<function=now>{shown}</function>")),
            "{}",
            prompt(&answer)
        );
    }
    let (status, body) =
        chat(&engine, json!({"messages": now_called("call_1", "[1]"), "tools": now()})).await;
    let param = "messages[1].tool_calls[0].function.arguments";
    assert_eq!((status, &body["error"]["param"]), (400, &json!(param)));
}

#[tokio::test]
async fn template_whose_roles_alternate_gets_results_in_one_message_and_tools_from_the_user() {
    let (_folder, model) = model_with(
        br#"{%- if messages[0].role == "system" -%}{{ raise_exception("no system message here") }}{%- endif -%}
{%- for m in messages -%}{%- if (m.role == "user") != (loop.index0 % 2 == 0) -%}{{ raise_exception("user and assistant take turns") }}{%- endif -%}
<{{ m.role }}>{{ m.content|trim }}</{{ m.role }}>{%- endfor -%}"#,
    );
    let engine = serving(&model).await;
    let mut messages = now_called("abcdefgh1", "{}");
    messages.push(json!({"role": "tool", "tool_call_id": "abcdefgh2", "content": "13"}));
    messages.push(user("And?"));
    let answer = chat(&engine, json!({"messages": messages})).await;
    let results =
        "<user><tool_response>\n12:00\n</tool_response>\n<tool_response>\n13\n</tool_response>\nAnd?</user>";
    assert!(prompt(&answer).ends_with(results), "{}", prompt(&answer));
    let answer = chat(&engine, json!({"messages": [user("Time?")], "tools": now()})).await;
    let text = prompt(&answer);
    assert!(text.starts_with("<user>You can call") && text.ends_with("Time?</user>"), "{text}");
    let (status, body) = chat(&engine, json!({"messages": [user("a"), user("b")]})).await;
    assert!(status == 400 && body["error"]["message"].as_str().unwrap().contains("take turns"), "{body}");
}

#[tokio::test]
async fn template_that_walks_parts_gets_parts() {
    let (_folder, model) = model_with(
        br#"{%- for m in messages -%}{{ m.role }}:{%- for part in m.content -%}{%- if part.type == "text" %} {{ part.text }}{%- endif -%}{%- endfor %}
{% endfor -%}"#,
    );
    let engine = serving(&model).await;
    assert_eq!(prompt(&chat(&engine, json!({"messages": [user("Hello")]})).await), "user: Hello");
}

#[tokio::test]
async fn template_that_leaves_out_all_messages_is_a_400() {
    let (_folder, model) = model_with(
        b"{% for m in messages %}{% if m.role == 'user' %}U{{ m.content }}{% endif %}{% endfor %}A",
    );
    let engine = serving(&model).await;
    let (status, body) =
        chat(&engine, json!({"messages": [{"role": "system", "content": "You are x"}]})).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("messages")), "{body}");
}

#[tokio::test]
async fn template_that_cannot_be_read_names_its_file_and_line() {
    for (template, body) in [
        ("a\nb\n{% if 1 %}", "line 3"),
        ("a\n{% frobnicate %}", "line 2: the tag \"frobnicate\" is not known"),
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "limit of computation",
        ),
    ] {
        let (_folder, model) = model_with(template.as_bytes());
        let mut engine = Engine::launch(&model, &[]);
        assert_eq!(engine.exit().await.code(), Some(3), "{template}");
        let log = engine.log();
        assert!(log.contains("chat_template.jinja") && log.contains(body), "{template}: {log}");
    }
}

#[tokio::test]
async fn template_that_takes_all_it_may_leaves_health_answering() {
    let (_folder, model) = model_with(
        b"{% if messages|length > 1 %}{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{% endif %}{{ messages }}",
    );
    let engine = serving(&model).await;
    let slow = json!({"messages": vec![user("a"); 2]});
    let attack = async {
        let all = (0..12).map(|_| chat(&engine, slow.clone()));
        for (status, body) in futures_util::future::join_all(all).await {
            assert!(status == 400 || status == 503, "{body}");
        }
    };
    let look = async {
        for _ in 0..10 {
            let begun = Instant::now();
            assert_eq!(client::get(&engine.socket(), "/health").await.unwrap().0.as_u16(), 200);
            assert!(begun.elapsed() < Duration::from_secs(2));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::join!(attack, look);
}

//! Turns a chat request's messages into the form chat templates expect.

use dedi_api::engine::{Content, Message};
use serde_json::{Map, Value, json};

use crate::http::ApiError;
use crate::tools::Tools;

const MESSAGES_MAX: usize = 4096;

/// The messages as templates take them: contents are texts, call arguments are objects. When the template does
/// not know tools, they are explained in a system message and calls are written out.
///
/// # Errors
/// When a message has an unknown role or a part that is no text.
pub fn messages(
    messages: Option<Vec<Message>>,
    tools: Option<&Tools>,
    template_knows_tools: bool,
) -> Result<Vec<Value>, ApiError> {
    let messages = messages.ok_or_else(|| ApiError::invalid("messages", "`messages` is required."))?;
    if messages.is_empty() || messages.len() > MESSAGES_MAX {
        let message = format!("`messages` has {} entries and must have 1 to {MESSAGES_MAX}.", messages.len());
        return Err(ApiError::invalid("messages", message));
    }
    let mut out = Vec::with_capacity(messages.len() + 1);
    for (place, message) in messages.into_iter().enumerate() {
        let message = plain(place, message)?;
        out.push(if template_knows_tools { message } else { written_out(message) });
    }
    if let (Some(tools), false) = (tools, template_knows_tools) {
        explain(&mut out, tools);
    }
    Ok(out)
}

fn plain(place: usize, message: Message) -> Result<Value, ApiError> {
    let role = match message.role.as_str() {
        "developer" => "system",
        "function" => "tool",
        known @ ("system" | "user" | "assistant" | "tool") => known,
        other => {
            let param = format!("messages[{place}].role");
            let message = format!("`{param}` is \"{other}\" and can be system, user, assistant or tool.");
            return Err(ApiError::invalid(param, message));
        }
    };
    let mut out = Map::new();
    out.insert("role".to_owned(), json!(role));
    out.insert("content".to_owned(), json!(text(place, message.content)?));
    if let Some(name) = message.name {
        out.insert("name".to_owned(), json!(name));
    }
    if let Some(id) = message.tool_call_id {
        out.insert("tool_call_id".to_owned(), json!(id));
    }
    if let Some(thoughts) = message.reasoning_content {
        out.insert("reasoning_content".to_owned(), json!(thoughts));
    }
    if let Some(calls) = message.tool_calls.filter(|it| !it.is_empty()) {
        out.insert("tool_calls".to_owned(), calls.into_iter().map(with_object_arguments).collect());
    }
    Ok(Value::Object(out))
}

fn text(place: usize, content: Option<Content>) -> Result<String, ApiError> {
    let parts = match content {
        None => return Ok(String::new()),
        Some(Content::Text(text)) => return Ok(text),
        Some(Content::Parts(parts)) => parts,
    };
    let mut texts = Vec::with_capacity(parts.len());
    for (part_place, part) in parts.iter().enumerate() {
        let param = format!("messages[{place}].content[{part_place}]");
        let kind = part.get("type").and_then(Value::as_str).unwrap_or("nothing");
        if kind != "text" {
            let message =
                format!("`{param}` has the type {kind}, and this engine reads only parts of type text.");
            return Err(ApiError::invalid(param, message));
        }
        let Some(text) = part.get("text").and_then(Value::as_str) else {
            let message = format!("`{param}` has no `text`.");
            return Err(ApiError::invalid(param, message));
        };
        texts.push(text);
    }
    Ok(texts.join("\n"))
}

/// Clients send arguments as JSON text, templates expect the object.
fn with_object_arguments(mut call: Value) -> Value {
    if let Some(arguments) = call.pointer_mut("/function/arguments")
        && let Some(object) = arguments.as_str().and_then(|it| serde_json::from_str::<Value>(it).ok())
    {
        *arguments = object;
    }
    call
}

/// Calls and results as text, for templates that would drop them.
fn written_out(mut message: Value) -> Value {
    let content = message["content"].as_str().unwrap_or_default().to_owned();
    if message["role"] == "tool" {
        return json!({"role": "user", "content": format!("<tool_response>\n{content}\n</tool_response>")});
    }
    let Some(calls) = message.as_object_mut().and_then(|it| it.remove("tool_calls")) else { return message };
    let mut texts = if content.is_empty() { Vec::new() } else { vec![content] };
    for call in calls.as_array().into_iter().flatten() {
        let (name, arguments) = (&call["function"]["name"], &call["function"]["arguments"]);
        texts.push(format!("<tool_call>\n{{\"name\": {name}, \"arguments\": {arguments}}}\n</tool_call>"));
    }
    message["content"] = json!(texts.join("\n"));
    message
}

fn explain(messages: &mut Vec<Value>, tools: &Tools) {
    let instructions = tools.as_instructions();
    match messages.first_mut() {
        Some(first) if first["role"] == "system" => {
            let content = first["content"].as_str().unwrap_or_default();
            first["content"] = json!(format!("{content}\n\n{instructions}"));
        }
        _ => messages.insert(0, json!({"role": "system", "content": instructions})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: Value, knows_tools: bool) -> Result<Vec<Value>, ApiError> {
        messages(Some(serde_json::from_value(given).unwrap()), None, knows_tools)
    }

    #[test]
    fn text_parts_are_joined() {
        let parts = json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]);
        assert_eq!(read(parts, true).unwrap(), [json!({"role": "user", "content": "a\nb"})]);
    }

    #[test]
    fn other_parts_and_roles_are_named() {
        let said = |given| read(given, true).unwrap_err().body().error;
        let picture = said(json!([{"role": "user", "content": [{"type": "image_url"}]}]));
        assert_eq!(picture.param.as_deref(), Some("messages[0].content[0]"));
        assert!(picture.message.contains("image_url"));
        assert_eq!(said(json!([{"role": "root", "content": ""}])).param.as_deref(), Some("messages[0].role"));
        assert_eq!(said(json!([])).param.as_deref(), Some("messages"));
    }

    #[test]
    fn calls_reach_templates_that_know_them_and_text_the_others() {
        let calls = json!([
            {"role": "assistant", "content": null,
             "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "2"},
        ]);
        let known = read(calls.clone(), true).unwrap();
        assert_eq!(known[0]["tool_calls"][0]["function"]["arguments"], json!({"a": 1}));
        let text = read(calls, false).unwrap();
        assert_eq!(
            text[0]["content"],
            "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\":1}}\n</tool_call>"
        );
        assert_eq!(text[1], json!({"role": "user", "content": "<tool_response>\n2\n</tool_response>"}));
    }
}

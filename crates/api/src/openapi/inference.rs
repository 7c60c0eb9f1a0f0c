//! The operations of the data plane.

use serde_json::{Value, json};

use super::operation::{Operation, Schemas, reference};
use crate::ErrorDetail;
use crate::inference::{
    ChatCompletion, Completion, Embeddings, EmbeddingsRequest, GenerateRequest, StreamChunk,
};

const ERRORS: &[u16] = &[400, 401, 403, 404, 408, 413, 415, 429, 500, 502, 503, 504];

/// Fields of the shared request that only chat reads.
const ONLY_CHAT: &[&str] = &[
    "messages",
    "tools",
    "tool_choice",
    "function_call",
    "parallel_tool_calls",
    "top_logprobs",
    "response_format",
    "reasoning_effort",
    "reasoning",
    "chat_template_kwargs",
    "continue_final_message",
    "add_generation_prompt",
];

/// Fields that depend on each other.
fn agree(schemas: &mut Schemas) {
    let is_assistant = json!({"properties": {"role": {"const": "assistant"}}});
    let says_something = json!({"required": ["content"], "properties": {"content": reference("Content")}});
    schemas.refine("Message", "anyOf", json!([is_assistant, says_something]));

    let format = |word: &str, field: &str, value: Value| json!({"required": [field], "properties": {"type": {"const": word}, field: value}});
    let object = || json!({"type": "object"});
    let named_schema = json!({"type": "object", "required": ["schema"], "properties": {"schema": object()}});
    let formats = json!([
        {"properties": {"type": {"enum": ["text", "json_object"]}}},
        format("json_schema", "json_schema", named_schema),
        format("json_schema", "schema", object()),
        format("regex", "pattern", json!({"type": "string"})),
    ]);
    schemas.refine("ResponseFormat", "anyOf", formats);
}

pub(super) fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let event = event(schemas);
    let text = "With `stream`: events, each a chunk, the last one `[DONE]`";
    let stream = |it: Operation| it.says(200, text, "text/event-stream", event.clone());
    let operation = |path, id, summary| Operation::new("post", path, id, "Inference", summary).errors(ERRORS);
    let all = vec![
        stream(
            operation("/v1/chat/completions", "createChatCompletion", "Continue a conversation")
                .body(generate(schemas, "ChatCompletionRequest", &["prompt"], "messages"))
                .answers("The reply", schemas.of::<ChatCompletion<'static>>()),
        ),
        stream(
            operation("/v1/completions", "createCompletion", "Continue a text")
                .body(generate(schemas, "CompletionRequest", ONLY_CHAT, "prompt"))
                .answers("The continuation", schemas.of::<Completion<'static>>()),
        ),
        operation("/v1/embeddings", "createEmbeddings", "Turn texts into vectors")
            .body(schemas.of::<EmbeddingsRequest<'static>>())
            .answers("The vectors", schemas.of::<Embeddings<'static>>()),
    ];
    agree(schemas);
    all
}

/// One event of a stream: a chunk, an error that ends it, or its regular end.
fn event(schemas: &mut Schemas) -> Value {
    let error = json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": schemas.of::<ErrorDetail>()},
    });
    let chunk = schemas.of::<StreamChunk<'static>>();
    let content = json!({"contentMediaType": "application/json", "contentSchema": {"anyOf": [chunk, error]}});
    json!({
        "type": "object",
        "required": ["data"],
        "properties": {"data": {"type": "string"}},
        "anyOf": [{"properties": {"data": {"const": "[DONE]"}}}, {"properties": {"data": content}}],
    })
}

/// The shared request without what the route does not read, and with what it cannot do without.
fn generate(schemas: &mut Schemas, name: &str, without: &[&str], needed: &str) -> Value {
    let shared = schemas.of::<GenerateRequest<'static>>();
    let mut schema = schemas.take(&shared);
    if let Some(fields) = schema["properties"].as_object_mut() {
        fields.retain(|name, _| !without.contains(&name.as_str()));
        if let Some(kind) = fields.get_mut(needed).and_then(|it| it.get_mut("type")) {
            // It must be there, so it can't be null.
            *kind = kind.get(0).cloned().unwrap_or_default();
        }
    }
    schema["required"] = json!(["model", needed]);
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("description");
    }
    schemas.list(name.to_owned(), schema);
    reference(name)
}

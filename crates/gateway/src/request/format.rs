//! `response_format` and `tool_choice`: the shapes that clients send, in the one that engines read.

use dedi_api::inference::{ResponseFormat, Tool, ToolChoice};
use serde_json::value::RawValue;

use super::check::short;
use super::engine;
use crate::error::ApiError;

const FIELD: &str = "response_format";

/// `text`, `json_object`, `json_schema` in both places of the schema, `regex`.
pub(super) fn response_format<'a>(
    format: &'a ResponseFormat<'a>,
) -> Result<engine::ResponseFormat<'a>, ApiError> {
    let named = format.json_schema.as_ref();
    let schemas = [named.and_then(|it| it.schema), format.schema];
    if schemas.iter().flatten().any(|it| !is_object(it)) {
        return Err(ApiError::field(
            "response_format.json_schema.schema",
            "the schema must be a JSON object such as {\"type\":\"object\",\"properties\":{…}}",
        ));
    }
    let [newer, older] = schemas;
    let schema = newer.or(older);
    let json_schema = |schema| engine::ResponseFormat::JsonSchema {
        json_schema: engine::JsonSchema {
            name: named.and_then(|it| it.name.as_ref()).map_or("response", |it| it.as_str()),
            schema,
            strict: named.and_then(|it| it.strict),
        },
    };
    match (format.kind.as_ref().map(|it| it.as_str()), schema) {
        (Some("text"), _) => Ok(engine::ResponseFormat::Text),
        (Some("json_object"), None) => Ok(engine::ResponseFormat::JsonObject),
        (Some("json_schema" | "json_object"), Some(schema)) => Ok(json_schema(schema)),
        (Some("json_schema"), None) => Err(ApiError::field(
            "response_format.json_schema",
            "`json_schema` needs a schema: {\"type\":\"json_schema\",\"json_schema\":{\"name\":…,\"schema\":{…}}}",
        )),
        (Some("regex"), _) => match &format.pattern {
            Some(pattern) => Ok(engine::ResponseFormat::Regex { pattern: pattern.as_str() }),
            None => Err(ApiError::field("response_format.pattern", "`regex` needs a `pattern`")),
        },
        (Some(other), _) => Err(ApiError::field(
            "response_format.type",
            format!("`type` must be text, json_object, json_schema or regex, got `{}`", short(other)),
        )),
        (None, _) => Err(ApiError::field(
            FIELD,
            "`response_format` needs a `type`: text, json_object, json_schema or regex",
        )),
    }
}

/// `auto`, `none`, `required`, or one of the tools by name.
pub(super) fn tool_choice<'a>(
    field: &str,
    choice: &'a ToolChoice<'a>,
    tools: &[Tool<'_>],
) -> Result<engine::ToolChoice<'a>, ApiError> {
    let name = match choice {
        ToolChoice::Mode(word) => match word.as_str() {
            it @ ("auto" | "none" | "required") => return Ok(engine::ToolChoice::Mode(it)),
            name => name,
        },
        ToolChoice::Named(name) => name.as_str(),
    };
    if tools.iter().any(|it| it.function.name.as_str() == name) {
        Ok(engine::ToolChoice::Function { kind: "function", function: engine::FunctionName { name } })
    } else {
        Err(ApiError::field(
            field,
            format!(
                "`{field}` must be auto, none, required or the name of one of `tools`, got `{}`",
                short(name)
            ),
        ))
    }
}

/// Whether it is an object.
pub(super) fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

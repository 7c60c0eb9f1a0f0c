//! What a chat brings along: messages, functions that may be called, and the form of the reply.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One message of a conversation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool`, …
    pub role: String,
    /// A text, a list of parts, or null beside `tool_calls`.
    #[serde(default)]
    pub content: Option<Content>,
    /// Name of the author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Calls that the assistant made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<Value>>,
    /// The call a tool's message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// The assistant's reasoning before this message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
}

/// A message's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a text or a list of parts")]
pub enum Content {
    /// A text.
    Text(String),
    /// Parts, each an object with a `type`.
    Parts(Vec<Value>),
}

/// A function the model may call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tool {
    /// `function`.
    #[serde(rename = "type", default = "function_kind")]
    pub kind: String,
    /// The function to call.
    pub function: Function,
}

fn function_kind() -> String {
    "function".to_owned()
}

/// A function's name and parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Function {
    /// The function's name.
    pub name: String,
    /// Description for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON schema of its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
}

/// Whether to call a function, and which.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a word or {\"type\":\"function\",\"function\":{\"name\":…}}")]
pub enum ToolChoice {
    /// `auto`, `none`, `required`, or a function's name.
    Mode(String),
    /// `{"type":"function","function":{"name":…}}`.
    Named {
        /// The function to call.
        function: ToolChoiceFunction,
    },
}

/// The function a `tool_choice` names.
#[derive(Clone, Debug, Deserialize)]
pub struct ToolChoiceFunction {
    /// The function's name.
    pub name: String,
}

/// The form a reply must have.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ResponseFormat {
    /// `text`, `json_object`, `json_schema` or `regex`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The schema as OpenAI sends it.
    #[serde(default)]
    pub json_schema: Option<JsonSchema>,
    /// The schema as older clients send it.
    #[serde(default)]
    pub schema: Option<Value>,
    /// The pattern of `regex`.
    #[serde(default)]
    pub pattern: Option<String>,
}

/// A named JSON schema.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct JsonSchema {
    /// The JSON schema itself.
    #[serde(default)]
    pub schema: Option<Value>,
}

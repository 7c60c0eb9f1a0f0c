//! The whole answer of a chat.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FinishReason, LogprobLists, PromptPart, Usage};
use crate::words::{AssistantRole, ChatObject, FunctionKind};

/// A whole chat answer; `object` is `chat.completion`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatCompletion<'a> {
    /// The request's id.
    pub id: Cow<'a, str>,
    /// `chat.completion`.
    #[schema(value_type = ChatObject)]
    pub object: Cow<'a, str>,
    /// Unix seconds.
    pub created: i64,
    /// As requested.
    pub model: Cow<'a, str>,
    /// Empty unless `echo` was set.
    pub prompt: Vec<PromptPart<'a>>,
    /// The replies.
    pub choices: Vec<ChatChoice<'a>>,
    /// Tokens, where the engine counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// One reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatChoice<'a> {
    /// Its position.
    pub index: u32,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The request's seed.
    pub seed: Option<i64>,
    /// Of its tokens, where asked for.
    pub logprobs: Option<LogprobLists<'a>>,
    /// What was said.
    pub message: ReplyMessage<'a>,
}

/// What the assistant said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplyMessage<'a> {
    /// `assistant`.
    #[schema(value_type = AssistantRole)]
    pub role: Cow<'a, str>,
    /// Its text; null when it only calls tools.
    pub content: Option<Cow<'a, str>>,
    /// Its calls.
    #[serde(default)]
    pub tool_calls: Vec<ToolCall<'a>>,
    /// What it thought before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Cow<'a, str>>,
}

/// A call in an answer, or a fragment of one in a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ToolCall<'a> {
    /// Its position.
    pub index: u32,
    /// Its id; empty in later fragments.
    pub id: Cow<'a, str>,
    /// `function`.
    #[serde(rename = "type")]
    #[schema(value_type = FunctionKind)]
    pub kind: Cow<'a, str>,
    /// What is called.
    pub function: ToolCallFunction<'a>,
}

/// The function of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ToolCallFunction<'a> {
    /// Its name; empty in later fragments.
    pub name: Cow<'a, str>,
    /// Its arguments, JSON in a text, or a fragment of that.
    pub arguments: Cow<'a, str>,
}

//! The whole answer of a chat.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FinishReason, LogprobLists, PromptPart, Usage};
use crate::enums::{AssistantRole, ChatObject, FunctionKind};

/// A whole chat answer; `object` is `chat.completion`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatCompletion<'a> {
    /// The request's id (`req_…`).
    pub id: Cow<'a, str>,
    /// `chat.completion`.
    #[schema(value_type = ChatObject)]
    pub object: Cow<'a, str>,
    /// Creation time in Unix seconds.
    pub created: i64,
    /// The model name as requested.
    pub model: Cow<'a, str>,
    /// Empty unless `echo` was set.
    pub prompt: Vec<PromptPart<'a>>,
    /// One per choice asked for.
    pub choices: Vec<ChatChoice<'a>>,
    /// Tokens, where the engine counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// One choice of a chat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatChoice<'a> {
    /// Its index, from 0.
    pub index: u32,
    /// Why generation ended.
    pub finish_reason: FinishReason,
    /// The seed it was sampled with.
    pub seed: Option<i64>,
    /// Log probabilities of its tokens, where asked for.
    pub logprobs: Option<LogprobLists<'a>>,
    /// The assistant's message.
    pub message: ReplyMessage<'a>,
}

/// The assistant's message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplyMessage<'a> {
    /// `assistant`.
    #[schema(value_type = AssistantRole)]
    pub role: Cow<'a, str>,
    /// Its text; null when it only calls tools.
    pub content: Option<Cow<'a, str>>,
    /// The tool calls, in order.
    #[serde(default)]
    pub tool_calls: Vec<ToolCall<'a>>,
    /// The reasoning before the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Cow<'a, str>>,
}

/// A call in an answer, or a fragment of one in a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ToolCall<'a> {
    /// Its index, from 0.
    pub index: u32,
    /// Its id; empty in later fragments.
    pub id: Cow<'a, str>,
    /// `function`.
    #[serde(rename = "type")]
    #[schema(value_type = FunctionKind)]
    pub kind: Cow<'a, str>,
    /// The called function.
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

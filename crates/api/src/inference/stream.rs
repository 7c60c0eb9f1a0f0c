//! The events of a stream, of chat and of completions.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FinishReason, PromptPart, ToolCall, Usage};
use crate::enums::{AssistantRole, ChunkObject};

/// One event of a stream; `object` is `chat.completion.chunk` or `completion.chunk`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StreamChunk<'a> {
    /// The request's id (`req_…`).
    pub id: Cow<'a, str>,
    /// `chat.completion.chunk` or `completion.chunk`.
    #[schema(value_type = ChunkObject)]
    pub object: Cow<'a, str>,
    /// Creation time in Unix seconds.
    pub created: i64,
    /// The model name as requested.
    pub model: Cow<'a, str>,
    /// The prompt, in the first event, when `echo` was set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompt: Vec<PromptPart<'a>>,
    /// The choices' deltas; never empty.
    pub choices: Vec<ChunkChoice<'a>>,
    /// Null but in the last chunk.
    pub usage: Option<Usage>,
}

/// One choice of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChunkChoice<'a> {
    /// Its index, from 0.
    pub index: u32,
    /// The same as the delta's content.
    pub text: Cow<'a, str>,
    /// Log probability of the text (the sum, where it is several tokens).
    pub logprobs: Option<f64>,
    /// The candidates of its first token, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<BTreeMap<Cow<'a, str>, f64>>,
    /// Null until the choice ends.
    pub finish_reason: Option<FinishReason>,
    /// The request's seed, when the choice ends.
    pub seed: Option<i64>,
    /// The choice's delta.
    pub delta: Delta<'a>,
}

/// A choice's delta.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Delta<'a> {
    /// Where the engine reports it; not for OpenAI's SDKs, which would add up the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<i64>,
    /// `assistant`, in every event; for OpenAI's SDKs, which add deltas up, in the first of each choice only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AssistantRole>)]
    pub role: Option<Cow<'a, str>>,
    /// The generated text.
    pub content: Cow<'a, str>,
    /// Fragments of calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall<'a>>,
    /// Reasoning text before the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Cow<'a, str>>,
}

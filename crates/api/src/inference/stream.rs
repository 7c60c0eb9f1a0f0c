//! The events of a stream, of chat and of completions.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FinishReason, PromptPart, ToolCall, Usage};
use crate::words::{AssistantRole, ChunkObject};

/// One event of a stream; `object` is `chat.completion.chunk` or `completion.chunk`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StreamChunk<'a> {
    /// The request's id.
    pub id: Cow<'a, str>,
    /// `chat.completion.chunk` or `completion.chunk`.
    #[schema(value_type = ChunkObject)]
    pub object: Cow<'a, str>,
    /// Unix seconds.
    pub created: i64,
    /// As requested.
    pub model: Cow<'a, str>,
    /// The prompt, in the first event, when `echo` was set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompt: Vec<PromptPart<'a>>,
    /// Never empty.
    pub choices: Vec<ChunkChoice<'a>>,
    /// Null but in the last chunk.
    pub usage: Option<Usage>,
}

/// One choice of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChunkChoice<'a> {
    /// Its position.
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
    /// What is new.
    pub delta: Delta<'a>,
}

/// What is new in a choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Delta<'a> {
    /// Where the engine told it; not for OpenAI's SDKs, which would add up the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<i64>,
    /// `assistant`, in every event; for OpenAI's SDKs, which add deltas up, in the first of each choice only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AssistantRole>)]
    pub role: Option<Cow<'a, str>>,
    /// The text.
    pub content: Cow<'a, str>,
    /// Fragments of calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall<'a>>,
    /// A piece of what it thinks before it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Cow<'a, str>>,
}

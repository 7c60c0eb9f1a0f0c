//! The events of a streamed answer.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{ChatLogprobs, EchoedPrompt, TextLogprobs, ToolCall, Usage};

/// One event of a chat's stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChatChunk<'a> {
    /// The answer's id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// `chat.completion.chunk`.
    #[serde(borrow)]
    pub object: Cow<'a, str>,
    /// Seconds since 1970.
    pub created: i64,
    /// The name the request used.
    #[serde(borrow)]
    pub model: Cow<'a, str>,
    /// The prompt, in the first event, when it shall be repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<EchoedPrompt>,
    /// The choices' deltas; empty beside `usage`.
    #[serde(borrow)]
    pub choices: Vec<ChatChunkChoice<'a>>,
    /// Token counts, in the last event when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// One event of a completion's stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompletionChunk<'a> {
    /// The answer's id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// `text_completion`.
    #[serde(borrow)]
    pub object: Cow<'a, str>,
    /// Seconds since 1970.
    pub created: i64,
    /// The name the request used.
    #[serde(borrow)]
    pub model: Cow<'a, str>,
    /// The choices' deltas; empty beside `usage`.
    #[serde(borrow)]
    pub choices: Vec<CompletionChunkChoice<'a>>,
    /// Token counts, in the last event when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// A choice's delta.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ChatChunkChoice<'a> {
    /// Index of the choice.
    pub index: u32,
    /// The text that was added.
    #[serde(borrow)]
    pub delta: Delta<'a>,
    /// Why it ended; null until then.
    #[serde(borrow)]
    pub finish_reason: Option<Cow<'a, str>>,
    /// The token's probability, when asked for.
    pub logprobs: Option<ChatLogprobs>,
    /// Id of the sampled token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<u32>,
}

/// What was added to a message.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Delta<'a> {
    /// `assistant`, in the first event.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Cow<'a, str>>,
    /// Answer text.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Cow<'a, str>>,
    /// Reasoning text.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Cow<'a, str>>,
    /// Calls, and more of their arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
}

/// A choice's delta.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CompletionChunkChoice<'a> {
    /// Index of the choice.
    pub index: u32,
    /// The text that was added.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
    /// Why it ended; null until then.
    #[serde(borrow)]
    pub finish_reason: Option<Cow<'a, str>>,
    /// The token's probability, when asked for.
    pub logprobs: Option<TextLogprobs>,
    /// Id of the sampled token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<u32>,
}

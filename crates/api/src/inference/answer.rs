//! What the answers of chat and of completions have in common.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The prompt in an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PromptPart<'a> {
    /// The prompt's text.
    pub text: Cow<'a, str>,
    /// Log probabilities of its tokens.
    pub logprobs: Option<LogprobLists<'a>>,
}

/// Log probabilities as parallel lists.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogprobLists<'a> {
    /// The tokens' texts.
    pub tokens: Vec<Cow<'a, str>>,
    /// Log probability of each token.
    pub token_logprobs: Vec<Option<f64>>,
    /// Their ids, where the engine reports them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_ids: Option<Vec<i64>>,
    /// By position, the candidates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, BTreeMap<String, f64>>>)]
    pub top_logprobs: Option<BTreeMap<usize, BTreeMap<Cow<'a, str>, f64>>>,
}

/// Why a choice ended; the four values that every client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its turn, or a stop text was met.
    Stop,
    /// The model's end-of-sequence token.
    Eos,
    /// The token limit was reached.
    Length,
    /// The reply ends with tool calls.
    ToolCalls,
}

/// Token counts of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Generated tokens.
    pub completion_tokens: u64,
    /// `prompt_tokens` plus `completion_tokens`.
    pub total_tokens: u64,
}

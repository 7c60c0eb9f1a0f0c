//! The whole answer of a completion.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FinishReason, LogprobLists, PromptPart, Usage};
use crate::enums::CompletionObject;

/// A whole completions answer; `object` is `text.completion`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Completion<'a> {
    /// The request's id (`req_…`).
    pub id: Cow<'a, str>,
    /// `text.completion`.
    #[schema(value_type = CompletionObject)]
    pub object: Cow<'a, str>,
    /// Creation time in Unix seconds.
    pub created: i64,
    /// The model name as requested.
    pub model: Cow<'a, str>,
    /// Empty unless `echo` was set.
    pub prompt: Vec<PromptPart<'a>>,
    /// One per choice asked for.
    pub choices: Vec<CompletionChoice<'a>>,
    /// Tokens; null where the engine did not count them.
    pub usage: Option<Usage>,
}

/// One choice of a completion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CompletionChoice<'a> {
    /// Its index, from 0.
    pub index: u32,
    /// The generated text.
    pub text: Cow<'a, str>,
    /// Why generation ended.
    pub finish_reason: FinishReason,
    /// The seed it was sampled with.
    pub seed: Option<i64>,
    /// Log probabilities of its tokens, where asked for.
    pub logprobs: Option<LogprobLists<'a>>,
}

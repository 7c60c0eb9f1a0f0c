//! The whole answer of a completion.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FinishReason, LogprobLists, PromptPart, Usage};
use crate::words::CompletionObject;

/// A whole completions answer; `object` is `text.completion`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Completion<'a> {
    /// The request's id.
    pub id: Cow<'a, str>,
    /// `text.completion`.
    #[schema(value_type = CompletionObject)]
    pub object: Cow<'a, str>,
    /// Unix seconds.
    pub created: i64,
    /// As requested.
    pub model: Cow<'a, str>,
    /// Empty unless `echo` was set.
    pub prompt: Vec<PromptPart<'a>>,
    /// The texts.
    pub choices: Vec<CompletionChoice<'a>>,
    /// Tokens; null where the engine did not count them.
    pub usage: Option<Usage>,
}

/// One text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CompletionChoice<'a> {
    /// Its position.
    pub index: u32,
    /// The text.
    pub text: Cow<'a, str>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The request's seed.
    pub seed: Option<i64>,
    /// Of its tokens, where asked for.
    pub logprobs: Option<LogprobLists<'a>>,
}

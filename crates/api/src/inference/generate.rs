//! What is asked of chat and of completions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{Message, Prompt, ResponseFormat, Text, Tool, ToolChoice};
use crate::enums::{ContextOverflow, ReasoningEffort, SafetyModel};
use crate::read::{object_or_null, objects, whole, whole_of};

/// The body of `POST /v1/chat/completions` and `POST /v1/completions`. All is optional so that a missing
/// field is answered by name; numbers are wide so that one out of range is too. Unknown fields are ignored.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct GenerateRequest<'a> {
    /// An endpoint's name or id. Required.
    #[serde(borrow, default)]
    #[schema(value_type = String, required = true, min_length = 1)]
    pub model: Option<Text<'a>>,
    /// The conversation; required by chat.
    #[serde(borrow, default, deserialize_with = "objects")]
    #[schema(min_items = 1, max_items = 4_096)]
    pub messages: Option<Vec<Message<'a>>>,
    /// The text to go on from, alone or as a list of one; required by completions.
    #[serde(borrow, default)]
    #[schema(value_type = Prompt)]
    pub prompt: Option<Prompt<'a>>,
    /// Most tokens to generate.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    pub max_tokens: Option<i64>,
    /// OpenAI's newer name of `max_tokens`.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    pub max_completion_tokens: Option<i64>,
    /// Texts that end the generation.
    #[serde(borrow, default)]
    pub stop: Option<Stop<'a>>,
    /// Sampling temperature; 0 takes the most likely token every time.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 5)]
    pub temperature: Option<f64>,
    /// Nucleus sampling: keeps the most likely tokens whose probabilities add up to this.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    pub top_p: Option<f64>,
    /// Candidates per step; 0 and -1 mean all.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = -1, maximum = 2_147_483_647)]
    pub top_k: Option<i64>,
    /// Least probability relative to the best candidate.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    pub min_p: Option<f64>,
    /// Multiplicative penalty; 1 is none.
    #[serde(default)]
    #[schema(minimum = 0.01, maximum = 10)]
    pub repetition_penalty: Option<f64>,
    /// Additive penalty on what occurred.
    #[serde(default)]
    #[schema(minimum = -2, maximum = 2)]
    pub presence_penalty: Option<f64>,
    /// Additive penalty by how often it occurred.
    #[serde(default)]
    #[schema(minimum = -2, maximum = 2)]
    pub frequency_penalty: Option<f64>,
    /// Token id to bias.
    #[serde(borrow, default)]
    #[schema(value_type = Option<crate::openapi::LogitBias>)]
    pub logit_bias: Option<BTreeMap<Text<'a>, f64>>,
    /// Seed of the sampler.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = -9_223_372_036_854_775_808_i64, maximum = 9_223_372_036_854_775_807_i64)]
    pub seed: Option<i64>,
    /// Choices to generate.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 128)]
    pub n: Option<i64>,
    /// Whether to answer with server-sent events.
    #[serde(default)]
    pub stream: Option<bool>,
    /// How many candidates to report the log probability of.
    #[serde(default)]
    pub logprobs: Option<Logprobs>,
    /// OpenAI's way to say how many beside `logprobs: true`; chat only.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 0, maximum = 20)]
    pub top_logprobs: Option<i64>,
    /// Whether the answer repeats the prompt.
    #[serde(default)]
    pub echo: Option<bool>,
    /// Functions the model may call; chat only.
    #[serde(borrow, default, deserialize_with = "objects")]
    #[schema(max_items = 128)]
    pub tools: Option<Vec<Tool<'a>>>,
    /// Which of them; chat only.
    #[serde(borrow, default)]
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether a reply may have several calls; with `false` it ends with the first. Chat only.
    #[serde(default)]
    pub parallel_tool_calls: Option<bool>,
    /// The old form of `tool_choice`.
    #[serde(borrow, default)]
    pub function_call: Option<ToolChoice<'a>>,
    /// The old form of `tools`, refused.
    #[serde(borrow, default)]
    #[schema(ignore)]
    pub functions: Option<&'a RawValue>,
    /// Form of the reply; chat only.
    #[serde(borrow, default, deserialize_with = "object_or_null")]
    pub response_format: Option<ResponseFormat<'a>>,
    /// `error` or `truncate`.
    #[serde(borrow, default)]
    #[schema(value_type = Option<ContextOverflow>)]
    pub context_length_exceeded_behavior: Option<Text<'a>>,
    /// `low`, `medium` or `high`.
    #[serde(borrow, default)]
    #[schema(value_type = Option<ReasoningEffort>)]
    pub reasoning_effort: Option<Text<'a>>,
    /// Whether the model reasons first.
    #[serde(borrow, default, deserialize_with = "object_or_null")]
    pub reasoning: Option<Reasoning<'a>>,
    /// Variables of the model's chat template.
    #[serde(borrow, default)]
    #[schema(value_type = Option<Object>)]
    pub chat_template_kwargs: Option<&'a RawValue>,
    /// Whether the reply goes on in the last message, which must be an assistant's, instead of beginning a new one. Chat
    /// only.
    #[serde(default)]
    pub continue_final_message: Option<bool>,
    /// Whether the prompt ends with the header of a new assistant message; by default it does, unless `continue_final_message` is set. Chat only.
    #[serde(default)]
    pub add_generation_prompt: Option<bool>,
    /// A model that checks prompt and answer. There is none here, so any but `none` is refused.
    #[serde(borrow, default)]
    #[schema(value_type = Option<SafetyModel>)]
    pub safety_model: Option<Text<'a>>,
    /// A regime to process the request under. None is promised here, so any is refused.
    #[serde(borrow, default)]
    #[schema(ignore)]
    pub compliance: Option<Text<'a>>,
    /// OpenAI's choices to pick the best of; nothing here picks, so more than one is refused.
    #[serde(default, deserialize_with = "whole")]
    #[schema(ignore)]
    pub best_of: Option<i64>,
    /// OpenAI's text that comes after the completion; no model here is asked for what is in between.
    #[serde(borrow, default)]
    #[schema(ignore)]
    pub suffix: Option<Text<'a>>,
}

/// A lone text or several.
#[derive(Clone, Debug, PartialEq)]
pub struct Stop<'a>(pub Vec<Text<'a>>);

/// An integer, or OpenAI's boolean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logprobs {
    /// Number of candidates.
    Top(i64),
    /// OpenAI's boolean.
    Wanted(bool),
}

/// `{"enabled":true}`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct Reasoning<'a> {
    /// Whether to reason.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// The same as `reasoning_effort`, which wins.
    #[serde(borrow, default)]
    #[schema(value_type = Option<ReasoningEffort>)]
    pub effort: Option<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Stop<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Stop<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Stop<'de>, E> {
                Ok(Stop(vec![Text(Cow::Borrowed(text))]))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Stop<'de>, E> {
                Ok(Stop(vec![Text(Cow::Owned(text.to_owned()))]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Stop<'de>, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = texts.next_element()? {
                    all.push(text);
                }
                Ok(Stop(all))
            }
        }
        input.deserialize_any(Visit)
    }
}

impl<'de> Deserialize<'de> for Logprobs {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Visit;
        impl Visitor<'_> for Visit {
            type Value = Logprobs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer from 0 to 20, or a boolean")
            }
            fn visit_bool<E: de::Error>(self, wanted: bool) -> Result<Logprobs, E> {
                Ok(Logprobs::Wanted(wanted))
            }
            fn visit_i64<E: de::Error>(self, top: i64) -> Result<Logprobs, E> {
                Ok(Logprobs::Top(top))
            }
            fn visit_u64<E: de::Error>(self, top: u64) -> Result<Logprobs, E> {
                Ok(Logprobs::Top(i64::try_from(top).unwrap_or(i64::MAX)))
            }
            fn visit_f64<E: de::Error>(self, top: f64) -> Result<Logprobs, E> {
                whole_of(top).map(Logprobs::Top)
            }
        }
        input.deserialize_any(Visit)
    }
}

//! What chat and completions ask for.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Message, ResponseFormat, Tool, ToolChoice};

/// The body of `POST /v1/chat/completions` and `POST /v1/completions`. Numbers are wide, so that one out of
/// range is answered by name and limit; unknown fields are ignored.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GenerateRequest {
    /// A name to repeat in the answer. An engine serves one model, whatever it is called by.
    pub model: Option<String>,
    /// The conversation; required by chat.
    pub messages: Option<Vec<Message>>,
    /// What to go on from; required by completions.
    pub prompt: Option<Prompt>,
    /// Most tokens to generate; absent, as many as the context has room for.
    pub max_tokens: Option<i64>,
    /// OpenAI's newer name of `max_tokens`; it wins when both are sent.
    pub max_completion_tokens: Option<i64>,
    /// Texts that end the generation and are not part of it.
    pub stop: Option<OneOrMany<String>>,
    /// Randomness; 0 takes the most likely token every time.
    pub temperature: Option<f64>,
    /// Keeps the most likely tokens whose probabilities add up to this.
    pub top_p: Option<f64>,
    /// Keeps this many of the most likely tokens; 0 and -1 keep all.
    pub top_k: Option<i64>,
    /// Keeps tokens at least this likely relative to the most likely one.
    pub min_p: Option<f64>,
    /// Divides the logits of tokens that occurred, prompt included; 1 is none.
    pub repetition_penalty: Option<f64>,
    /// Taken off the logits of generated tokens.
    pub presence_penalty: Option<f64>,
    /// Taken off the logits of generated tokens, times their count.
    pub frequency_penalty: Option<f64>,
    /// Token id to what is added to its logit.
    pub logit_bias: Option<BTreeMap<String, f64>>,
    /// Seed of the sampler.
    pub seed: Option<i64>,
    /// Choices to generate.
    pub n: Option<i64>,
    /// Whether to answer with server-sent events.
    pub stream: Option<bool>,
    /// What a stream has beside its choices.
    pub stream_options: Option<StreamOptions>,
    /// Whether to report the sampled tokens' log probabilities, or of how many candidates.
    pub logprobs: Option<BoolOrCount>,
    /// Candidates per token to report log probabilities of.
    pub top_logprobs: Option<i64>,
    /// Whether the answer repeats the prompt: before the text of a completion, in `prompt` of a chat.
    pub echo: Option<bool>,
    /// Functions the model may call; chat only.
    pub tools: Option<Vec<Tool>>,
    /// Whether to call one, and which.
    pub tool_choice: Option<ToolChoice>,
    /// False ends a reply with its first call.
    pub parallel_tool_calls: Option<bool>,
    /// Form that the reply is held to.
    pub response_format: Option<ResponseFormat>,
    /// `error` or `truncate`.
    pub context_length_exceeded_behavior: Option<String>,
    /// `none`, `minimal`, `low`, `medium` or `high`: as the template's variables say it.
    pub reasoning_effort: Option<String>,
    /// Variables of the model's chat template.
    pub chat_template_kwargs: Option<serde_json::Map<String, Value>>,
    /// Goes on in the last message instead of beginning one.
    pub continue_final_message: Option<bool>,
    /// False leaves out the template's beginning of the reply.
    pub add_generation_prompt: Option<bool>,
    /// Goes on past the model's end of generation; for benchmarks.
    pub ignore_eos: Option<bool>,
}

/// One value or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
pub enum OneOrMany<T> {
    /// A single value.
    One(T),
    /// A list of values.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The values, in order.
    pub fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// The prompt of a completion.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a text, a list of texts or a list of token ids")]
pub enum Prompt {
    /// A text.
    Text(String),
    /// A text cut into tokens.
    Tokens(Vec<u32>),
    /// Several texts.
    Texts(Vec<String>),
}

/// `logprobs`: a boolean in OpenAI's chat, a count in its completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "true, false or a whole number")]
pub enum BoolOrCount {
    /// On or off.
    Bool(bool),
    /// Number of candidates.
    Count(i64),
}

/// What a stream has beside its choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct StreamOptions {
    /// Whether a last chunk without choices has the token counts.
    pub include_usage: Option<bool>,
}

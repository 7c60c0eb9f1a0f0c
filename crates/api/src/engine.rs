//! The dialect engines speak: OpenAI's chat, completions and embeddings, as `dedi-engine` reads and writes it.
//!
//! Beyond OpenAI's fields a chunk's choice carries `token_id`, and a chunk is one sampled token, so that a
//! gateway can tell tokens and their probabilities without knowing the tokenizer.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// Whether to tell the sampled tokens' log probabilities, or of how many candidates.
    pub logprobs: Option<BoolOrCount>,
    /// Candidates per token to tell the log probabilities of.
    pub top_logprobs: Option<i64>,
    /// Whether the answer repeats the prompt.
    pub echo: Option<bool>,
    /// Functions the model may call; chat only.
    pub tools: Option<Vec<Tool>>,
    /// Whether to call one, and which.
    pub tool_choice: Option<ToolChoice>,
    /// Form of the reply.
    pub response_format: Option<ResponseFormat>,
    /// `error` or `truncate`.
    pub context_length_exceeded_behavior: Option<String>,
    /// Variables of the model's chat template.
    pub chat_template_kwargs: Option<serde_json::Map<String, Value>>,
    /// Goes on past the model's end of generation; for benchmarks.
    pub ignore_eos: Option<bool>,
}

/// One value or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Any number.
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
    /// Whether.
    Bool(bool),
    /// How many.
    Count(i64),
}

/// What a stream has beside its choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct StreamOptions {
    /// A last chunk without choices tells the token counts.
    pub include_usage: Option<bool>,
}

/// One message of a conversation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool`, …
    pub role: String,
    /// A text, a list of parts, or null beside `tool_calls`.
    #[serde(default)]
    pub content: Option<Content>,
    /// Who said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Calls the assistant made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<Value>>,
    /// The call a tool's message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a text or a list of parts")]
pub enum Content {
    /// A text.
    Text(String),
    /// Parts, each an object with a `type`.
    Parts(Vec<Value>),
}

/// A function the model may call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tool {
    /// `function`.
    #[serde(rename = "type", default = "function_kind")]
    pub kind: String,
    /// The function.
    pub function: Function,
}

fn function_kind() -> String {
    "function".to_owned()
}

/// A function's name and what it takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON schema of its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
}

/// Whether to call a function, and which.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a word or {\"type\":\"function\",\"function\":{\"name\":…}}")]
pub enum ToolChoice {
    /// `auto`, `none`, `required`, or a function's name.
    Word(String),
    /// `{"type":"function","function":{"name":…}}`.
    Named {
        /// The function.
        function: ToolChoiceFunction,
    },
}

/// The function a `tool_choice` names.
#[derive(Clone, Debug, Deserialize)]
pub struct ToolChoiceFunction {
    /// Its name.
    pub name: String,
}

/// The form a reply must have.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ResponseFormat {
    /// `text`, `json_object`, `json_schema` or `regex`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The schema as OpenAI sends it.
    #[serde(default)]
    pub json_schema: Option<JsonSchema>,
    /// The schema as older clients send it.
    #[serde(default)]
    pub schema: Option<Value>,
    /// The pattern of `regex`.
    #[serde(default)]
    pub pattern: Option<String>,
}

/// A named JSON schema.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct JsonSchema {
    /// The schema.
    #[serde(default)]
    pub schema: Option<Value>,
}

/// The body of `POST /v1/embeddings`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EmbeddingsRequest {
    /// A name to repeat in the answer. An engine serves one model, whatever it is called by.
    pub model: Option<String>,
    /// One text or several.
    pub input: Option<OneOrMany<String>>,
    /// `float`; nothing else is spoken.
    pub encoding_format: Option<String>,
}

/// Token counts of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read.
    pub prompt_tokens: u32,
    /// Tokens generated, the one that ended the generation included.
    pub completion_tokens: u32,
    /// Their sum.
    pub total_tokens: u32,
}

impl Usage {
    /// Counts with their sum.
    #[must_use]
    pub fn new(prompt_tokens: u32, completion_tokens: u32) -> Self {
        Self { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }
}

/// The log probability of one token, in chat's form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// The token's text, with replacement characters where its bytes are no text of their own.
    pub token: String,
    /// Its log probability, before temperature and penalties.
    pub logprob: f32,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The most likely candidates in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<Vec<TokenLogprob>>,
}

/// Chat's `logprobs` object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatLogprobs {
    /// One per token.
    pub content: Vec<TokenLogprob>,
}

/// Completions' `logprobs` object: one entry per token in each list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TextLogprobs {
    /// The tokens' texts.
    pub tokens: Vec<String>,
    /// Their log probabilities; null for an echoed prompt's.
    pub token_logprobs: Vec<Option<f32>>,
    /// The most likely candidates, text to log probability.
    pub top_logprobs: Vec<Option<BTreeMap<String, f32>>>,
    /// Where each begins in the text, in characters.
    pub text_offset: Vec<u32>,
}

/// The answer to a chat that is not streamed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChatCompletion {
    /// The answer's id.
    pub id: String,
    /// `chat.completion`.
    pub object: String,
    /// Seconds since 1970.
    pub created: i64,
    /// The name the request used.
    pub model: String,
    /// The choices, in order.
    pub choices: Vec<ChatChoice>,
    /// Token counts.
    pub usage: Usage,
}

/// One choice of a chat.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChatChoice {
    /// Its place.
    pub index: u32,
    /// What was said.
    pub message: ReplyMessage,
    /// `stop`, `length` or `tool_calls`.
    pub finish_reason: String,
    /// The tokens' probabilities, when asked for.
    pub logprobs: Option<ChatLogprobs>,
    /// The sampled tokens.
    #[serde(default)]
    pub token_ids: Vec<u32>,
}

/// The assistant's message.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ReplyMessage {
    /// `assistant`.
    pub role: String,
    /// The text; null when the reply is only calls.
    pub content: Option<String>,
    /// The calls; left out when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
}

/// A call of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Its place among the calls.
    pub index: u32,
    /// Its id.
    pub id: String,
    /// `function`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is called.
    pub function: CalledFunction,
}

/// A function's name and arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalledFunction {
    /// Its name.
    pub name: String,
    /// Its arguments, as JSON text.
    pub arguments: String,
}

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
    /// One choice's news; empty beside `usage`.
    #[serde(borrow)]
    pub choices: Vec<ChatChunkChoice<'a>>,
    /// Token counts, in the last event when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// One choice's news.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ChatChunkChoice<'a> {
    /// Its place.
    pub index: u32,
    /// What was added.
    #[serde(borrow)]
    pub delta: Delta<'a>,
    /// Why it ended; null until then.
    #[serde(borrow)]
    pub finish_reason: Option<Cow<'a, str>>,
    /// The token's probability, when asked for.
    pub logprobs: Option<ChatLogprobs>,
    /// The sampled token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<u32>,
}

/// What was added to a message.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Delta<'a> {
    /// `assistant`, in the first event.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Cow<'a, str>>,
    /// Text.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Cow<'a, str>>,
    /// Calls, each whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
}

/// The answer to a completion that is not streamed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Completion {
    /// The answer's id.
    pub id: String,
    /// `text_completion`.
    pub object: String,
    /// Seconds since 1970.
    pub created: i64,
    /// The name the request used.
    pub model: String,
    /// The choices, in order.
    pub choices: Vec<CompletionChoice>,
    /// Token counts.
    pub usage: Usage,
}

/// One choice of a completion.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompletionChoice {
    /// Its place.
    pub index: u32,
    /// The text.
    pub text: String,
    /// `stop` or `length`.
    pub finish_reason: String,
    /// The tokens' probabilities, when asked for.
    pub logprobs: Option<TextLogprobs>,
    /// The sampled tokens.
    #[serde(default)]
    pub token_ids: Vec<u32>,
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
    /// One choice's news; empty beside `usage`.
    #[serde(borrow)]
    pub choices: Vec<CompletionChunkChoice<'a>>,
    /// Token counts, in the last event when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// One choice's news.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CompletionChunkChoice<'a> {
    /// Its place.
    pub index: u32,
    /// What was added.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
    /// Why it ended; null until then.
    #[serde(borrow)]
    pub finish_reason: Option<Cow<'a, str>>,
    /// The token's probability, when asked for.
    pub logprobs: Option<TextLogprobs>,
    /// The sampled token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<u32>,
}

/// The answer to an embeddings request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Embeddings {
    /// `list`.
    pub object: String,
    /// One per input, in order.
    pub data: Vec<Embedding>,
    /// The name the request used.
    pub model: String,
    /// Token counts.
    pub usage: EmbeddingsUsage,
}

/// One text's vector, of length one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Embedding {
    /// `embedding`.
    pub object: String,
    /// The input's place.
    pub index: u32,
    /// The vector.
    pub embedding: Vec<f32>,
}

/// Token counts of an embeddings request.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct EmbeddingsUsage {
    /// Tokens read.
    pub prompt_tokens: u32,
    /// The same.
    pub total_tokens: u32,
}

/// The answer to `GET /health`: 200 when ready, 503 otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Health {
    /// The model is being loaded.
    Loading {
        /// From 0 to 1.
        progress: f32,
    },
    /// Requests are served.
    Ok {
        /// What the starter put into `DEDI_NONCE`; absent when it put nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nonce: Option<String>,
        /// The served model's name.
        model: String,
        /// Tokens one request may use, prompt and reply together.
        context: u32,
        /// Requests decoded at the same time.
        slots: u32,
    },
    /// No new requests are taken; running ones are finished.
    Draining {
        /// Requests still running.
        running: u64,
    },
    /// The device does not finish a step; requests are not answered.
    Stuck {
        /// Seconds since the step began.
        step_secs: u64,
    },
}

//! `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`: what clients send and what they are answered,
//! streams included. Texts borrow from the bytes they were read from.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::read::{Object, object, object_or_null, objects, whole, whole_of};
use crate::words::{
    AssistantRole, ChatObject, ChunkObject, CompletionObject, EffortWord, EmbeddingObject, FormatWord,
    FunctionKind, ListObject, MessageRole, OverflowWord, TextKind,
};

/// A text that borrows where the JSON has no escapes, also inside `Option` and `Vec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl Text<'_> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

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
    /// The text to go on from; required by completions.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, min_length = 1)]
    pub prompt: Option<Text<'a>>,
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
    /// Randomness.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 5)]
    pub temperature: Option<f64>,
    /// Nucleus sampling.
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
    #[schema(minimum = 1, maximum = 16)]
    pub n: Option<i64>,
    /// Whether to answer with server-sent events.
    #[serde(default)]
    pub stream: Option<bool>,
    /// How many candidates to tell the log probability of.
    #[serde(default)]
    pub logprobs: Option<Logprobs>,
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
    /// The old form of `tool_choice`.
    #[serde(borrow, default)]
    pub function_call: Option<ToolChoice<'a>>,
    /// Form of the reply; chat only.
    #[serde(borrow, default, deserialize_with = "object_or_null")]
    pub response_format: Option<ResponseFormat<'a>>,
    /// `error` or `truncate`.
    #[serde(borrow, default)]
    #[schema(value_type = Option<OverflowWord>)]
    pub context_length_exceeded_behavior: Option<Text<'a>>,
    /// `low`, `medium` or `high`.
    #[serde(borrow, default)]
    #[schema(value_type = Option<EffortWord>)]
    pub reasoning_effort: Option<Text<'a>>,
    /// Whether the model reasons first.
    #[serde(default, deserialize_with = "object_or_null")]
    pub reasoning: Option<Reasoning>,
    /// Variables of the model's chat template.
    #[serde(borrow, default)]
    #[schema(value_type = Option<Object>)]
    pub chat_template_kwargs: Option<&'a RawValue>,
}

/// One message of a conversation.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Message<'a> {
    /// `system`, `user`, `assistant`, `tool` or, of old, `function`.
    #[serde(borrow, default)]
    #[schema(value_type = MessageRole, required = true)]
    pub role: Option<Text<'a>>,
    /// What was said; null beside `tool_calls`.
    #[serde(borrow, default)]
    pub content: Option<Content<'a>>,
    /// Who said it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub name: Option<Text<'a>>,
    /// Calls an assistant made.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "objects")]
    pub tool_calls: Option<Vec<RequestToolCall<'a>>>,
    /// The call a tool message answers.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub tool_call_id: Option<Text<'a>>,
    /// What an assistant thought before.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reasoning_content: Option<Text<'a>>,
}

/// A message's content: a text, or parts.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Content<'a> {
    /// One text.
    Text(Text<'a>),
    /// Several.
    Parts(Vec<ContentPart<'a>>),
}

/// A part of a content.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ContentPart<'a> {
    /// `text`, or a kind of media.
    #[serde(rename = "type", borrow, default)]
    #[schema(value_type = TextKind, required = true)]
    pub kind: Option<Text<'a>>,
    /// The text of a `text` part.
    #[serde(borrow, default)]
    #[schema(value_type = String, required = true)]
    pub text: Option<Text<'a>>,
}

/// A call an earlier reply made, as clients send it back.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RequestToolCall<'a> {
    /// The call's id.
    #[serde(borrow, default)]
    #[schema(value_type = String)]
    pub id: Text<'a>,
    /// `function`.
    #[serde(rename = "type", borrow, default = "function")]
    #[schema(value_type = String)]
    pub kind: Text<'a>,
    /// What was called.
    #[serde(borrow, deserialize_with = "object")]
    pub function: CalledFunction<'a>,
}

fn function<'a>() -> Text<'a> {
    Text(Cow::Borrowed("function"))
}

/// A called function.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CalledFunction<'a> {
    /// Its name.
    #[serde(borrow)]
    #[schema(value_type = String)]
    pub name: Text<'a>,
    /// Its arguments, JSON in a text.
    #[serde(borrow, default)]
    #[schema(value_type = String)]
    pub arguments: Text<'a>,
}

/// A tool the model may call.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Tool<'a> {
    /// `function`.
    #[serde(rename = "type", borrow, default = "function")]
    #[schema(value_type = FunctionKind)]
    pub kind: Text<'a>,
    /// The function.
    #[serde(borrow, deserialize_with = "object")]
    pub function: ToolFunction<'a>,
}

/// What a callable function is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ToolFunction<'a> {
    /// Its name.
    #[serde(borrow)]
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_.-]{1,64}$")]
    pub name: Text<'a>,
    /// What it does.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Text<'a>>,
    /// JSON schema of its arguments.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<&'a RawValue>,
}

/// A lone text or several.
#[derive(Clone, Debug, PartialEq)]
pub struct Stop<'a>(pub Vec<Text<'a>>);

/// An integer, or OpenAI's boolean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logprobs {
    /// How many candidates.
    Top(i64),
    /// Yes or no.
    Wanted(bool),
}

/// `auto`, `required`, `none`, a tool's name, or an object that names one.
#[derive(Clone, Debug)]
pub enum ToolChoice<'a> {
    /// A word or a name.
    Word(Text<'a>),
    /// The name in `{"type":"function","function":{"name"}}` or `{"name"}`.
    Named(Text<'a>),
}

/// Form of the reply, in any of the shapes that are sent.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct ResponseFormat<'a> {
    /// `text`, `json_object`, `json_schema` or `regex`.
    #[serde(rename = "type", borrow, default)]
    #[schema(value_type = FormatWord, required = true)]
    pub kind: Option<Text<'a>>,
    /// The newer place of the schema.
    #[serde(borrow, default, deserialize_with = "object_or_null")]
    pub json_schema: Option<NamedSchema<'a>>,
    /// The older place of the schema.
    #[serde(borrow, default)]
    #[schema(value_type = Option<Object>)]
    pub schema: Option<&'a RawValue>,
    /// The pattern of `regex`.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>)]
    pub pattern: Option<Text<'a>>,
}

/// A JSON schema with its name.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct NamedSchema<'a> {
    /// Its name.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>)]
    pub name: Option<Text<'a>>,
    /// The schema.
    #[serde(borrow, default)]
    #[schema(value_type = Option<Object>)]
    pub schema: Option<&'a RawValue>,
    /// Whether to follow it to the letter.
    #[serde(default)]
    pub strict: Option<bool>,
}

/// `{"enabled":true}`.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
pub struct Reasoning {
    /// On or off.
    #[serde(default)]
    pub enabled: Option<bool>,
}

/// The body of `POST /v1/embeddings`.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct EmbeddingsRequest<'a> {
    /// An endpoint's name or id. Required.
    #[serde(borrow, default)]
    #[schema(value_type = String, required = true, min_length = 1)]
    pub model: Option<Text<'a>>,
    /// What to embed. Required.
    #[serde(borrow, default)]
    #[schema(value_type = EmbeddingInput, required = true)]
    pub input: Option<EmbeddingInput<'a>>,
    /// How vectors are written; `float` by default.
    #[serde(default)]
    pub encoding_format: Option<EncodingFormat>,
}

/// How a vector is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EncodingFormat {
    /// As an array of numbers.
    #[default]
    Float,
    /// As base64 of its numbers, each four bytes, little-endian: what OpenAI's SDKs ask for by themselves.
    Base64,
}

/// A text, texts, the tokens of a text, or those of several.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum EmbeddingInput<'a> {
    /// One text.
    Text(Text<'a>),
    /// Several texts.
    Texts(Vec<Text<'a>>),
    /// The tokens of one text.
    Tokens(Vec<u32>),
    /// The tokens of several.
    TokenLists(Vec<Vec<u32>>),
}

/// Tokens read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Read.
    pub prompt_tokens: u64,
    /// Written.
    pub completion_tokens: u64,
    /// Both.
    pub total_tokens: u64,
}

/// Why a choice ended; the four words that every client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its turn, or a stop text was met.
    Stop,
    /// The model's end-of-sequence token.
    Eos,
    /// The token limit.
    Length,
    /// It calls tools.
    ToolCalls,
}

/// A whole chat answer; `object` is `chat.completion`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatCompletion<'a> {
    /// The request's id.
    pub id: Cow<'a, str>,
    /// `chat.completion`.
    #[schema(value_type = ChatObject)]
    pub object: Cow<'a, str>,
    /// Unix seconds.
    pub created: i64,
    /// As requested.
    pub model: Cow<'a, str>,
    /// Empty unless `echo` was set.
    pub prompt: Vec<PromptPart<'a>>,
    /// The replies.
    pub choices: Vec<ChatChoice<'a>>,
    /// Tokens, where the engine counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// The prompt in an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PromptPart<'a> {
    /// Its text.
    pub text: Cow<'a, str>,
    /// Of its tokens.
    pub logprobs: Option<LogprobLists<'a>>,
}

/// One reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatChoice<'a> {
    /// Its position.
    pub index: u32,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The request's seed.
    pub seed: Option<i64>,
    /// Of its tokens, where asked for.
    pub logprobs: Option<LogprobLists<'a>>,
    /// What was said.
    pub message: ReplyMessage<'a>,
}

/// What the assistant said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplyMessage<'a> {
    /// `assistant`.
    #[schema(value_type = AssistantRole)]
    pub role: Cow<'a, str>,
    /// Its text; null when it only calls tools.
    pub content: Option<Cow<'a, str>>,
    /// Its calls.
    #[serde(default)]
    pub tool_calls: Vec<ToolCall<'a>>,
    /// What it thought before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Cow<'a, str>>,
}

/// A call in an answer, or a fragment of one in a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ToolCall<'a> {
    /// Its position.
    pub index: u32,
    /// Its id; empty in later fragments.
    pub id: Cow<'a, str>,
    /// `function`.
    #[serde(rename = "type")]
    #[schema(value_type = FunctionKind)]
    pub kind: Cow<'a, str>,
    /// What is called.
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

/// Log probabilities as parallel lists.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogprobLists<'a> {
    /// Tokens as text.
    pub tokens: Vec<Cow<'a, str>>,
    /// Theirs.
    pub token_logprobs: Vec<Option<f64>>,
    /// Their ids, where the engine told them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_ids: Option<Vec<i64>>,
    /// By position, the candidates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, BTreeMap<String, f64>>>)]
    pub top_logprobs: Option<BTreeMap<usize, BTreeMap<Cow<'a, str>, f64>>>,
}

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
    /// Where the engine told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<i64>,
    /// `assistant`, in every event.
    #[schema(value_type = AssistantRole)]
    pub role: Cow<'a, str>,
    /// The text.
    pub content: Cow<'a, str>,
    /// Fragments of calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall<'a>>,
    /// A piece of what it thinks before it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Cow<'a, str>>,
}

/// The answer of `POST /v1/embeddings`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Embeddings<'a> {
    /// `list`.
    #[schema(value_type = ListObject)]
    pub object: &'a str,
    /// As requested.
    pub model: &'a str,
    /// One for each input.
    pub data: Vec<Embedding<'a>>,
    /// Tokens, where the engine counted them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<EmbeddingUsage>,
}

/// One vector.
#[derive(Debug, Serialize, ToSchema)]
pub struct Embedding<'a> {
    /// `embedding`.
    #[schema(value_type = EmbeddingObject)]
    pub object: &'a str,
    /// The position of its input.
    pub index: u32,
    /// The vector.
    pub embedding: EmbeddingVector<'a>,
}

/// A vector in the form that was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum EmbeddingVector<'a> {
    /// Digit by digit as the engine wrote it.
    #[schema(value_type = Vec<f64>)]
    Numbers(&'a RawValue),
    /// Base64 of its numbers, each four bytes, little-endian.
    Base64(String),
}

/// Tokens of an embeddings request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingUsage {
    /// Read.
    pub prompt_tokens: u64,
    /// The same.
    pub total_tokens: u64,
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Content<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of parts")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Content<'de>, E> {
                Ok(Content::Text(Text(Cow::Borrowed(text))))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Content<'de>, E> {
                Ok(Content::Text(Text(Cow::Owned(text.to_owned()))))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content<'de>, A::Error> {
                let mut all = Vec::new();
                while let Some(Object(part)) = parts.next_element()? {
                    all.push(part);
                }
                Ok(Content::Parts(all))
            }
        }
        input.deserialize_any(Visit)
    }
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

impl<'de: 'a, 'a> Deserialize<'de> for ToolChoice<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Name<'a> {
            #[serde(borrow)]
            name: Text<'a>,
        }
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = ToolChoice<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or {\"type\":\"function\",\"function\":{\"name\":…}}")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<ToolChoice<'de>, E> {
                Ok(ToolChoice::Word(Text(Cow::Borrowed(text))))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ToolChoice<'de>, E> {
                Ok(ToolChoice::Word(Text(Cow::Owned(text.to_owned()))))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut fields: A) -> Result<ToolChoice<'de>, A::Error> {
                let mut name = None;
                while let Some(key) = fields.next_key::<Text<'de>>()? {
                    match key.as_str() {
                        "name" => name = Some(fields.next_value::<Text<'de>>()?),
                        "function" => name = Some(fields.next_value::<Name<'de>>()?.name),
                        _ => {
                            fields.next_value::<de::IgnoredAny>()?;
                        }
                    }
                }
                name.map(ToolChoice::Named).ok_or_else(|| de::Error::missing_field("function"))
            }
        }
        input.deserialize_any(Visit)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for EmbeddingInput<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a string, a token number, or an array of token numbers")]
        enum Item<'a> {
            Text(#[serde(borrow)] Text<'a>),
            Token(u32),
            Tokens(Vec<u32>),
        }
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = EmbeddingInput<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, an array of strings, or arrays of token numbers")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<EmbeddingInput<'de>, E> {
                Ok(EmbeddingInput::Text(Text(Cow::Borrowed(text))))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<EmbeddingInput<'de>, E> {
                Ok(EmbeddingInput::Text(Text(Cow::Owned(text.to_owned()))))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<EmbeddingInput<'de>, A::Error> {
                let mut all = None;
                while let Some(item) = items.next_element::<Item<'de>>()? {
                    match (&mut all, item) {
                        (None, Item::Text(text)) => all = Some(EmbeddingInput::Texts(vec![text])),
                        (None, Item::Token(token)) => all = Some(EmbeddingInput::Tokens(vec![token])),
                        (None, Item::Tokens(tokens)) => all = Some(EmbeddingInput::TokenLists(vec![tokens])),
                        (Some(EmbeddingInput::Texts(texts)), Item::Text(text)) => texts.push(text),
                        (Some(EmbeddingInput::Tokens(tokens)), Item::Token(token)) => tokens.push(token),
                        (Some(EmbeddingInput::TokenLists(lists)), Item::Tokens(tokens)) => lists.push(tokens),
                        (Some(_), Item::Text(_) | Item::Token(_) | Item::Tokens(_)) => {
                            return Err(de::Error::custom("the array mixes texts and tokens"));
                        }
                    }
                }
                Ok(all.unwrap_or(EmbeddingInput::Texts(Vec::new())))
            }
        }
        input.deserialize_any(Visit)
    }
}

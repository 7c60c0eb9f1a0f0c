//! The answer to a request that is not streamed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A chat's prompt as its model reads it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EchoedPrompt {
    /// What the model's template made of the conversation.
    pub text: String,
    /// Its tokens' probabilities, when asked for.
    pub logprobs: Option<TextLogprobs>,
    /// Ids of its tokens.
    #[serde(default)]
    pub token_ids: Vec<u32>,
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
    /// The prompt, when it shall be repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<EchoedPrompt>,
    /// The choices, in order.
    pub choices: Vec<ChatChoice>,
    /// Token counts of the request.
    pub usage: Usage,
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
    /// Token counts of the request.
    pub usage: Usage,
}

/// One choice of a chat.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChatChoice {
    /// Index of the choice.
    pub index: u32,
    /// The assistant's message.
    pub message: ReplyMessage,
    /// `stop`, `length` or `tool_calls`.
    pub finish_reason: String,
    /// The tokens' probabilities, when asked for.
    pub logprobs: Option<ChatLogprobs>,
    /// Ids of the sampled tokens.
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
    /// The reasoning before the answer; left out when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// The calls; left out when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
}

/// A call of a function, or in a stream more of its arguments: then it has neither id, type nor name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Index of the call in the reply.
    pub index: u32,
    /// The call's id, unique in the conversation.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// `function`.
    #[serde(rename = "type", default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The called function.
    pub function: CalledFunction,
}

/// A function's name and arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalledFunction {
    /// The function's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The arguments as JSON text.
    pub arguments: String,
}

/// One choice of a completion.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompletionChoice {
    /// Index of the choice.
    pub index: u32,
    /// The text.
    pub text: String,
    /// `stop` or `length`.
    pub finish_reason: String,
    /// The tokens' probabilities, when asked for.
    pub logprobs: Option<TextLogprobs>,
    /// Ids of the sampled tokens.
    #[serde(default)]
    pub token_ids: Vec<u32>,
}

/// The log probability of one token, in chat's form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// The token's text, with replacement characters where its bytes are no text of their own.
    pub token: String,
    /// Its log probability, before temperature and penalties.
    pub logprob: f32,
    /// The token's UTF-8 bytes; may be part of a character.
    pub bytes: Vec<u8>,
    /// The most likely candidates at its position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<Vec<TokenLogprob>>,
}

/// Chat's `logprobs` object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatLogprobs {
    /// One entry per token.
    pub content: Vec<TokenLogprob>,
}

/// Completions' `logprobs` object: one entry per token in each list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TextLogprobs {
    /// The tokens' texts.
    pub tokens: Vec<String>,
    /// Their log probabilities; null for the first of an echoed prompt, which nothing comes before.
    pub token_logprobs: Vec<Option<f32>>,
    /// The most likely candidates, text to log probability.
    pub top_logprobs: Vec<Option<BTreeMap<String, f32>>>,
    /// Where each begins in the text, in characters.
    pub text_offset: Vec<u32>,
}

/// Token counts of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens generated, the one that ended the generation included.
    pub completion_tokens: u32,
    /// `prompt_tokens` plus `completion_tokens`.
    pub total_tokens: u32,
}

impl Usage {
    /// Computes the total.
    #[must_use]
    pub fn new(prompt_tokens: u32, completion_tokens: u32) -> Self {
        Self { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }
}

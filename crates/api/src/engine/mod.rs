//! The dialect engines speak: OpenAI's chat, completions and embeddings, as `dedi-engine` reads and writes it.
//!
//! Beyond OpenAI's fields a chunk's choice carries `token_id`, and a chunk is one sampled token, so that a
//! gateway can tell tokens and their probabilities without knowing the tokenizer.

mod answer;
mod chunk;
mod conversation;
mod embeddings;
mod health;
mod request;

/// The request header that names the queue a request waits in: those of one sender have the same, and an engine shares
/// its slots out between queues. It says nothing of who the sender is.
pub const QUEUE_HEADER: &str = "x-dedi-queue";

pub use self::answer::{
    CalledFunction, ChatChoice, ChatCompletion, ChatLogprobs, Completion, CompletionChoice, EchoedPrompt,
    ReplyMessage, TextLogprobs, TokenLogprob, ToolCall, Usage,
};
pub use self::chunk::{ChatChunk, ChatChunkChoice, CompletionChunk, CompletionChunkChoice, Delta};
pub use self::conversation::{
    Content, Function, JsonSchema, Message, ResponseFormat, Tool, ToolChoice, ToolChoiceFunction,
};
pub use self::embeddings::{Embedding, Embeddings, EmbeddingsRequest, EmbeddingsUsage};
pub use self::health::Health;
pub use self::request::{BoolOrCount, GenerateRequest, OneOrMany, Prompt, StreamOptions};

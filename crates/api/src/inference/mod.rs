//! `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`: what clients send and what they are answered,
//! streams included. Texts borrow from the bytes they were read from.

mod answer;
mod chat;
mod completion;
mod embeddings;
mod format;
mod generate;
mod message;
mod prompt;
mod stream;
mod text;
mod tools;

pub use answer::{FinishReason, LogprobLists, PromptPart, Usage};
pub use chat::{ChatChoice, ChatCompletion, ReplyMessage, ToolCall, ToolCallFunction};
pub use completion::{Completion, CompletionChoice};
pub use embeddings::{
    Embedding, EmbeddingInput, EmbeddingUsage, EmbeddingVector, Embeddings, EmbeddingsRequest, EncodingFormat,
};
pub use format::{NamedSchema, ResponseFormat};
pub use generate::{GenerateRequest, Logprobs, Reasoning, Stop};
pub use message::{CalledFunction, Content, ContentPart, Message, RequestToolCall};
pub use prompt::Prompt;
pub use stream::{ChunkChoice, Delta, StreamChunk};
pub use text::Text;
pub use tools::{Tool, ToolChoice, ToolFunction};

//! Embeddings, asked and answered.

use serde::{Deserialize, Serialize};

use super::OneOrMany;

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
    /// How long vectors shall be; a model makes one length.
    pub dimensions: Option<i64>,
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
    /// Index of the input.
    pub index: u32,
    /// The vector.
    pub embedding: Vec<f32>,
}

/// Token counts of an embeddings request.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct EmbeddingsUsage {
    /// Tokens of all inputs.
    pub prompt_tokens: u32,
    /// Equals `prompt_tokens`.
    pub total_tokens: u32,
}

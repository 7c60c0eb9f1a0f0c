//! Texts in, vectors out.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Text;
use crate::enums::{EmbeddingObject, ListObject};
use crate::read::whole;

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
    /// OpenAI's length of the vectors. A model here has one length, so any other is refused.
    #[serde(default, deserialize_with = "whole")]
    #[schema(ignore)]
    pub dimensions: Option<i64>,
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

/// A text or texts. Tokens are not taken: their numbers mean another text to each model, and clients make them for OpenAI's.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum EmbeddingInput<'a> {
    /// A string.
    Text(Text<'a>),
    /// A list of strings.
    Texts(Vec<Text<'a>>),
}

/// The answer of `POST /v1/embeddings`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Embeddings<'a> {
    /// `list`.
    #[schema(value_type = ListObject)]
    pub object: &'a str,
    /// The model name as requested.
    pub model: &'a str,
    /// One for each input.
    pub data: Vec<Embedding<'a>>,
    /// Tokens, where the engine counted them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<EmbeddingUsage>,
}

/// The vector of one input.
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
    /// Tokens of all inputs.
    pub prompt_tokens: u64,
    /// Equals `prompt_tokens`.
    pub total_tokens: u64,
}

impl<'de: 'a, 'a> Deserialize<'de> for EmbeddingInput<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = EmbeddingInput<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings; this server takes texts, no token numbers")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<EmbeddingInput<'de>, E> {
                Ok(EmbeddingInput::Text(Text(Cow::Borrowed(text))))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<EmbeddingInput<'de>, E> {
                Ok(EmbeddingInput::Text(Text(Cow::Owned(text.to_owned()))))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<EmbeddingInput<'de>, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = texts.next_element()? {
                    all.push(text);
                }
                Ok(EmbeddingInput::Texts(all))
            }
        }
        input.deserialize_any(Visit)
    }
}

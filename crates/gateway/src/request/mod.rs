//! From the contract's request to the engine's: parsed at the door, checked once, and written again in OpenAI's
//! dialect with only the fields we know.

mod check;
mod embed;
mod engine;
mod format;
mod generate;
mod job;
mod json;
mod refuse;
#[cfg(test)]
mod tests;

use dedi_api::inference::{EmbeddingsRequest, GenerateRequest};

pub(crate) use self::job::{Echo, Job, Kind};
use crate::error::ApiError;

/// A body whose fields have the right types.
#[derive(Debug)]
pub(crate) enum Parsed<'a> {
    Generate(Kind, Box<GenerateRequest<'a>>),
    Embed(EmbeddingsRequest<'a>),
}

impl<'a> Parsed<'a> {
    /// Parses a body; an error names the field.
    pub(crate) fn read(kind: Kind, body: &'a [u8]) -> Result<Self, ApiError> {
        match kind {
            Kind::Chat | Kind::Completions => Ok(Self::Generate(kind, Box::new(json::generate(body)?))),
            Kind::Embeddings => Ok(Self::Embed(json::embeddings(body)?)),
        }
    }

    /// The model as the client named it.
    pub(crate) fn model(&self) -> Result<&str, ApiError> {
        let model = match self {
            Self::Generate(_, request) => &request.model,
            Self::Embed(request) => &request.model,
        };
        model.as_ref().map(|it| it.as_str()).filter(|it| !it.is_empty()).ok_or_else(|| {
            ApiError::field("model", "`model` is missing; send the name or the id of an endpoint")
        })
    }

    /// Checks ranges and writes the engine's request. `context_tokens` 0 means not known.
    pub(crate) fn translate(&self, context_tokens: u32) -> Result<Job, ApiError> {
        let model = self.model()?.to_owned();
        match self {
            Self::Generate(kind, request) => generate::translate(*kind, model, request, context_tokens),
            Self::Embed(request) => embed::translate(model, request),
        }
    }
}

//! Embeddings: one input or several.

use dedi_api::inference::{EmbeddingInput, EmbeddingsRequest};

use super::job::{Job, Kind};
use super::{check, engine};
use crate::error::ApiError;

/// Inputs of one request.
const INPUTS_MAX: usize = 2_048;

pub(super) fn translate(model: String, request: &EmbeddingsRequest<'_>) -> Result<Job, ApiError> {
    let Some(input) = &request.input else {
        return Err(ApiError::field("input", "`input` is missing; send a text or an array of texts"));
    };
    let (n, empty) = match input {
        EmbeddingInput::Text(text) => (1, text.as_str().is_empty()),
        EmbeddingInput::Texts(texts) => (texts.len(), texts.iter().any(|it| it.as_str().is_empty())),
    };
    if n == 0 || empty {
        return Err(ApiError::field(
            "input",
            "`input` has nothing to embed in it; each text needs a character or more",
        ));
    }
    check::count("input", n, INPUTS_MAX)?;
    // How long its vectors are the engine knows; it refuses any other length.
    let body = engine::Embed { input, encoding_format: "float", dimensions: request.dimensions };
    let mut job = Job::new(Kind::Embeddings, model, &body)?;
    job.n = u32::try_from(n).unwrap_or(u32::MAX);
    job.encoding = request.encoding_format.unwrap_or_default();
    Ok(job)
}

//! `POST /v1/embeddings`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::engine::{Embedding, Embeddings, EmbeddingsRequest, EmbeddingsUsage, OneOrMany};
use llama_cpp_2::token::LlamaToken;
use tokio::sync::oneshot;

use crate::request;
use crate::worker::{EmbedJob, Job, Sender};

use super::body::JsonBytes;
use super::error::ApiError;
use super::generate;
use super::state::{AppState, InFlight, Ready};

const TEXTS_MAX: usize = 2048;

pub(super) async fn embeddings(
    State(state): State<Arc<AppState>>,
    sender: Sender,
    JsonBytes(body): JsonBytes,
) -> Result<Json<Embeddings>, ApiError> {
    if !state.ready()?.embedding {
        let message = "This model generates text and makes no vectors; ask an endpoint of an embedding model, or send texts to \
                       /v1/chat/completions or /v1/completions.";
        return Err(ApiError::Invalid { param: None, message: message.to_owned() });
    }
    let request: EmbeddingsRequest = request::parse(&body)?;
    let in_flight = InFlight::enter(&state);
    let model = request.model.clone().unwrap_or_else(|| state.model_name.clone());
    let worker = state.worker.clone();
    let (texts, prompt_tokens) = generate::prepare(true, move || read_texts(state.ready()?, request)).await?;
    let (reply, vectors) = oneshot::channel();
    worker.submit(Job::Embed(EmbedJob { sender, texts, reply }))?;
    let stopped = |_| ApiError::Internal("The engine stopped before the vectors were there.".to_owned());
    let vectors =
        vectors.await.map_err(stopped)?.map_err(|it| ApiError::Internal(generate::sentence(&it)))?;
    drop(in_flight);
    let data = (0..)
        .zip(vectors)
        .map(|(index, embedding)| Embedding { object: "embedding".to_owned(), index, embedding })
        .collect();
    let usage = EmbeddingsUsage { prompt_tokens, total_tokens: prompt_tokens };
    Ok(Json(Embeddings { object: "list".to_owned(), data, model, usage }))
}

fn read_texts(ready: &Ready, request: EmbeddingsRequest) -> Result<(Vec<Vec<LlamaToken>>, u32), ApiError> {
    if request.encoding_format.as_deref().is_some_and(|it| it != "float") {
        let message = "`encoding_format` can be float; vectors are sent as numbers.";
        return Err(ApiError::invalid("encoding_format", message));
    }
    check_width(request.dimensions, i64::from(ready.model.n_embd_out()))?;
    let Some(input) = request.input.map(OneOrMany::into_vec) else {
        return Err(ApiError::invalid("input", "`input` is required: a text or a list of texts."));
    };
    if input.is_empty() || input.len() > TEXTS_MAX {
        let message = format!("`input` has {} texts and must have 1 to {TEXTS_MAX}.", input.len());
        return Err(ApiError::invalid("input", message));
    }
    let (mut texts, mut total) = (Vec::with_capacity(input.len()), 0);
    for (index, text) in input.iter().enumerate() {
        let tokens = ready.model.vocab().tokenize(text.as_bytes(), true, false);
        if tokens.is_empty() {
            return Err(ApiError::invalid("input", format!("`input[{index}]` is empty.")));
        }
        if tokens.len() > ready.shape.context as usize {
            let (have, most) = (tokens.len(), ready.shape.context);
            let message =
                format!("`input[{index}]` has {have} tokens, and the context holds {most}; send less.");
            return Err(ApiError::TooLong { message });
        }
        total += tokens.len();
        texts.push(tokens);
    }
    Ok((texts, u32::try_from(total).unwrap_or(u32::MAX)))
}

/// A model makes vectors of one length; they are not cut to another, which would need a model made for that.
fn check_width(asked: Option<i64>, width: i64) -> Result<(), ApiError> {
    let Some(asked) = asked.filter(|it| *it != width) else { return Ok(()) };
    let message = format!(
        "`dimensions` is {asked}, and this model's vectors have {width} numbers; send {width}, or leave it out."
    );
    Err(ApiError::invalid("dimensions", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_the_length_their_model_makes() {
        assert_eq!([None, Some(384)].map(|it| check_width(it, 384)), [Ok(()), Ok(())]);
        for other in [0, 383, 385, -1] {
            let error = check_width(Some(other), 384).unwrap_err().body().error;
            assert_eq!(error.param.as_deref(), Some("dimensions"));
            assert!(error.message.contains("send 384,"), "{}", error.message);
        }
    }
}

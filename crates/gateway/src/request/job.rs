//! A request that has been understood: all that is left of it.

use bytes::{BufMut, Bytes, BytesMut};
use dedi_api::inference::EncodingFormat;

use crate::error::ApiError;

/// Which route a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Chat,
    Completions,
    Embeddings,
}

impl Kind {
    /// Every one has a route.
    pub(crate) const ALL: [Self; 3] = [Self::Chat, Self::Completions, Self::Embeddings];

    /// The route, here and at the engine.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
        }
    }
}

/// A prompt that the answer repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Echo {
    /// Of a completion: the client's text, which engines put before theirs.
    Text(String),
    /// Of a chat: only the engine knows what the model's template makes of it.
    Rendered,
}

/// All that is left of a request once it is understood.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) kind: Kind,
    /// As the client wrote it; echoed.
    pub(crate) model: String,
    pub(crate) stream: bool,
    /// Choices asked for.
    pub(crate) n: u32,
    pub(crate) seed: Option<i64>,
    /// Whether the prompt shall be repeated, and who knows it.
    pub(crate) echo: Option<Echo>,
    /// How vectors are to be written.
    pub(crate) encoding: EncodingFormat,
    /// One of OpenAI's SDKs asks, which reads some answers in a shape of its own.
    pub(crate) is_openai: bool,
    /// The engine's request without its model.
    payload: Bytes,
}

impl Job {
    pub(super) fn new(kind: Kind, model: String, body: &impl serde::Serialize) -> Result<Self, ApiError> {
        let payload = serde_json::to_vec(body).map_err(|_| ApiError::Internal)?;
        Ok(Self {
            kind,
            model,
            stream: false,
            n: 1,
            seed: None,
            echo: None,
            encoding: EncodingFormat::Float,
            is_openai: false,
            payload: payload.into(),
        })
    }

    /// The seed of one choice: engines draw the first with the request's, each later one with the next number.
    pub(crate) fn seed_of(&self, choice: u32) -> Option<i64> {
        self.seed.map(|it| it.wrapping_add(i64::from(choice)))
    }

    /// The engine's request for a replica whose engine knows the model as `engine_model`.
    pub(crate) fn body_for(&self, engine_model: &str) -> Bytes {
        let name = serde_json::Value::from(engine_model).to_string();
        let mut body = BytesMut::with_capacity(self.payload.len() + name.len() + 10);
        body.put_slice(b"{\"model\":");
        body.put_slice(name.as_bytes());
        body.put_u8(b',');
        body.put_slice(self.payload.get(1..).unwrap_or_default());
        body.freeze()
    }
}

#[cfg(test)]
impl Job {
    /// A streamed job, for tests of what comes back.
    pub(crate) fn streamed(kind: Kind, n: u32) -> Self {
        let payload = Bytes::from_static(b"{\"stream\":true}");
        Self {
            kind,
            model: "team/m-0000000a".to_owned(),
            stream: true,
            n,
            seed: None,
            echo: None,
            encoding: EncodingFormat::Float,
            is_openai: false,
            payload,
        }
    }
}

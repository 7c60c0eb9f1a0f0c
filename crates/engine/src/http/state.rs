//! What handlers share, and who may be answered when.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use dedi_api::engine::QUEUE_HEADER;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use super::error::ApiError;
use crate::constrain::Compiler;
use crate::metrics::Metrics;
use crate::model::{Shape, TokenBytes};
use crate::reading::Habits;
use crate::special::Specials;
use crate::template::ChatTemplate;
use crate::worker::{Sender, Worker};

/// What handlers share.
pub struct AppState {
    /// The name answers carry when a request names none.
    pub model_name: String,
    /// What the starter put into `DEDI_NONCE`.
    pub nonce: Option<String>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The way to the model's thread.
    pub worker: Worker,
    /// Set once, when the model has decoded its first token.
    pub ready: OnceLock<Ready>,
    /// Millionths of the model that are loaded.
    pub progress: AtomicU32,
    /// Set when no new requests are taken.
    pub draining: AtomicBool,
    /// Requests whose answer has not ended.
    pub in_flight: AtomicU64,
}

/// What is known once the model is loaded.
pub struct Ready {
    /// The weights; handlers use their vocabulary.
    pub model: Arc<LlamaModel>,
    /// The vocabulary's bytes.
    pub token_bytes: Arc<TokenBytes>,
    /// How the model is run.
    pub shape: Shape,
    /// The model's chat template.
    pub template: ChatTemplate,
    /// What it says of replies.
    pub habits: Habits,
    /// Makes replies follow a form.
    pub forms: Compiler,
    /// The spellings of its control tokens.
    pub specials: Specials,
    /// The token prompts begin with, when the model wants one.
    pub bos: Option<LlamaToken>,
    /// Whether it embeds, instead of generating text.
    pub embedding: bool,
}

impl AppState {
    /// What serves a request now.
    pub(super) fn ready(&self) -> Result<&Ready, ApiError> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(ApiError::Unavailable("The engine is stopping and takes no new requests."));
        }
        self.ready.get().ok_or(ApiError::Unavailable("The model is still being loaded."))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Sender {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let named = parts.headers.get(QUEUE_HEADER);
        Ok(named.map_or_else(Self::default, |it| Self::named(it.as_bytes())))
    }
}

/// Counts a request until its answer has ended.
pub(super) struct InFlight(Arc<AppState>);

impl InFlight {
    pub(super) fn enter(state: &Arc<AppState>) -> Self {
        state.in_flight.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(state))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

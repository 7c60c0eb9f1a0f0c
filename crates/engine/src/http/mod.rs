//! The HTTP surface: routes, what they share, and who may be answered when.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

mod body;
mod chat;
mod completions;
mod embeddings;
mod error;
mod forms;
mod generate;
mod prompt;
mod reasoning;
mod replies;
mod state;
mod status;

pub use error::ApiError;
pub use state::{AppState, Ready};

/// All routes.
pub fn router(state: Arc<AppState>) -> Router {
    Router::new()
        .route("/health", get(status::health))
        .route("/metrics", get(status::metrics))
        .route("/v1/models", get(status::models))
        .route("/v1/chat/completions", post(chat::chat))
        .route("/v1/completions", post(completions::completions))
        .route("/v1/embeddings", post(embeddings::embeddings))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::Method)
        .layer(axum::middleware::from_fn(dedi_http::adopt_request_id))
        .with_state(state)
}

//! `/healthz` and `/readyz`: with the API's description the only routes without a key. They say one word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::StatusCode;

use crate::only_get::only_get;

/// Whether the first pass has run and requests are taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ready(Arc<AtomicBool>);

impl Ready {
    pub(crate) fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The two routes.
pub(crate) fn router(ready: Ready) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }).fallback(only_get))
        .route(
            "/readyz",
            get(|State(ready): State<Ready>| async move {
                if ready.get() {
                    (StatusCode::OK, "ready")
                } else {
                    (StatusCode::SERVICE_UNAVAILABLE, "stopping")
                }
            })
            .fallback(only_get),
        )
        .with_state(ready)
}

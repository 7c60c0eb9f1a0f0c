//! Whether the engine is ready, what it counts, and what it serves.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use dedi_api::engine::Health;
use http::StatusCode;
use serde_json::json;

use super::state::AppState;

/// A step is meant to take a fraction of a second. Only the first part of a prompt has a size that was not yet
/// fitted to this machine, and even the slowest that is of any use reads two tokens a second of it.
const STEP_MAX: Duration = Duration::from_secs(120);

/// 200 once the model has decoded a token, 503 before that, while stopping, and when the device is stuck.
pub(super) async fn health(State(state): State<Arc<AppState>>) -> Response {
    if state.draining.load(Ordering::Relaxed) {
        let health = Health::Draining { running: state.in_flight.load(Ordering::SeqCst) };
        return (StatusCode::SERVICE_UNAVAILABLE, Json(health)).into_response();
    }
    if let Some(stuck) = stuck(state.metrics.step.elapsed()) {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(stuck)).into_response();
    }
    let Some(ready) = state.ready.get() else {
        #[expect(clippy::cast_precision_loss, reason = "at most a million")]
        let progress = state.progress.load(Ordering::Relaxed) as f32 / 1e6;
        return (StatusCode::SERVICE_UNAVAILABLE, Json(Health::Loading { progress })).into_response();
    };
    let health = Health::Ok {
        nonce: state.nonce.clone(),
        model: state.model_name.clone(),
        context: ready.shape.context,
        slots: ready.shape.slots,
    };
    Json(health).into_response()
}

/// The engine is stuck when a step takes this long.
fn stuck(step: Duration) -> Option<Health> {
    (step > STEP_MAX).then_some(Health::Stuck { step_secs: step.as_secs() })
}

pub(super) async fn metrics(State(state): State<Arc<AppState>>) -> Response {
    dedi_http::metrics(&state.metrics.registry)
}

pub(super) async fn models(State(state): State<Arc<AppState>>) -> Response {
    let context = state.ready.get().map(|it| it.shape.context);
    let model = json!({
        "id": state.model_name,
        "object": "model",
        "created": 0,
        "owned_by": "dedi",
        "context_length": context,
    });
    Json(json!({ "object": "list", "data": [model] })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_reports_a_step_that_does_not_end() {
        assert_eq!(stuck(Duration::from_secs(120)), None);
        let body = serde_json::to_value(stuck(Duration::from_secs(121))).unwrap();
        assert_eq!(body, json!({"status": "stuck", "step_secs": 121}));
    }
}

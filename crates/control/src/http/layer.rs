//! Around every handler: a request id, a span, a stop for panics, JSON for every refusal, and the headers that
//! all answers have.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dedi_api::{ErrorBody, ErrorDetail};
use dedi_domain::Principal;
use futures_util::FutureExt;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use tracing::Instrument;

use super::error::{ApiError, RETRY_AFTER_MS, Refused, SHOULD_RETRY};
use super::reply::LastReply;
use crate::random::random_uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Who sent a request, for the layers around the handler that checked its key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sender(Arc<OnceLock<Principal>>);

impl Sender {
    pub(crate) fn set(&self, principal: &Principal) {
        // A second check of the same request says the same.
        let _ = self.0.set(principal.clone());
    }

    pub(crate) fn get(&self) -> Option<&Principal> {
        self.0.get()
    }
}

/// The outermost layer.
pub(crate) async fn around(request: Request, next: Next) -> Response {
    let id = format!("req_{}", random_uuid().simple());
    LastReply::was_read(request.extensions());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("request", request.id = %id, %method, path = request.uri().path());
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let mut response = answered.unwrap_or_else(|_panic| {
        span.in_scope(|| tracing::error!("a handler panicked; see the message before this one"));
        ApiError::Internal.into_response()
    });
    if response.status().is_client_error() || response.status().is_server_error() {
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            response = wrong_method(response, &method, &path);
        }
        response = refusal(response, &id);
    }
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Says which methods there are.
fn wrong_method(mut response: Response, method: &Method, path: &str) -> Response {
    let allowed = response.headers().get(ALLOW).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let allowed: BTreeSet<&str> = allowed.split(',').map(str::trim).filter(|it| *it != "HEAD").collect();
    let allowed = allowed.into_iter().collect::<Vec<_>>().join(", ");
    if let Some(Refused(detail)) = response.extensions_mut().get_mut::<Refused>()
        && !allowed.is_empty()
    {
        let message = format!("{method} is not a method of {path}; use {allowed}");
        *detail = Arc::new(ErrorDetail { message, ..detail.as_ref().clone() });
    }
    response
}

/// The refusal as the contract's JSON, whichever layer it came from.
fn refusal(response: Response, id: &str) -> Response {
    let status = response.status();
    let response = match response.extensions().get::<Refused>() {
        Some(_) => response,
        None => ApiError::of_status(status).unwrap_or(ApiError::Internal).into_response(),
    };
    let Some(Refused(detail)) = response.extensions().get::<Refused>().cloned() else { return response };
    let status = response.status();
    let body = ErrorBody { id: Some(id.to_owned()), error: detail.as_ref().clone() };
    let mut answer = (status, Json(body)).into_response();
    let headers = answer.headers_mut();
    for name in [ALLOW, CONNECTION, RETRY_AFTER, RETRY_AFTER_MS, SHOULD_RETRY] {
        if let Some(value) = response.headers().get(&name) {
            headers.insert(name, value.clone());
        }
    }
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::INTERNAL_SERVER_ERROR => {}
        _ => {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_panic_in_a_handler_is_a_500_in_json_and_says_nothing_of_it() {
        async fn breaks() -> StatusCode {
            panic!("a secret detail")
        }
        let app = Router::new().route("/", get(breaks)).layer(axum::middleware::from_fn(around));
        let answer = app.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(answer.headers().get(SHOULD_RETRY).is_none(), "reads may be tried again");
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let body: ErrorBody = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(body.error.kind, "server_error");
        assert!(!body.error.message.contains("secret"));
    }
}

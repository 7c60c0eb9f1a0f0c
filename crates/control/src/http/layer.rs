//! Around every handler: a span, and JSON for every refusal, whichever layer it came from. The request's id and the end
//! of panics are the server's outermost layer's.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dedi_api::RefusalCode;
use dedi_domain::Principal;
use dedi_http::{ErrorResponse, RequestId};
use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};
use tracing::Instrument;

use super::error::ApiError;
use super::reply::LastReply;

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

/// Around all routes.
pub(crate) async fn around(request: Request, next: Next) -> Response {
    LastReply::was_read(request.extensions());
    let id = RequestId::of(request.extensions());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("request", request.id = %id, %method, path);
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    span.in_scope(|| tracing::debug!(status = status.as_u16(), "answered"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        return wrong_method(&response, &method, &path);
    }
    if response.extensions().get::<Arc<ErrorResponse>>().is_some() {
        return response;
    }
    // A refusal of the router's own.
    ApiError::of_status(status).map_or(response, ApiError::into_response)
}

/// Says which methods there are.
fn wrong_method(response: &Response, method: &Method, path: &str) -> Response {
    let named = response.headers().get(ALLOW);
    let allowed: BTreeSet<&str> = named
        .and_then(|it| it.to_str().ok())
        .into_iter()
        .flat_map(|it| it.split(','))
        .map(str::trim)
        .filter(|it| !["", "HEAD"].contains(it))
        .collect();
    if allowed.is_empty() {
        return ApiError::Method.into_response();
    }
    let allowed = allowed.into_iter().collect::<Vec<_>>().join(", ");
    let message = format!("{method} is not a method of {path}; use {allowed}");
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut answer = ErrorResponse::refused(status, RefusalCode::MethodNotAllowed, message).into_response();
    answer.headers_mut().insert(ALLOW, named.cloned().unwrap_or(HeaderValue::from_static("")));
    answer
}

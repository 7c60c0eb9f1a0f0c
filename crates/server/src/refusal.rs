//! Refusals of the server itself, before a request meets the control plane or the gateway: JSON in the contract's
//! form, like theirs.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use dedi_api::{ErrorBody, ErrorDetail, RefusalCode};
use http::header::{ALLOW, CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};

/// One refusal; the same request would be refused again.
pub(crate) fn refuse(
    status: StatusCode,
    code: RefusalCode,
    param: Option<&str>,
    message: impl Into<String>,
) -> Response {
    let mut response = answer(status, "invalid_request_error", code, param, message.into());
    response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
    response
}

/// What may work in a moment.
pub(crate) fn unavailable(message: &str) -> Response {
    let (status, code) = (StatusCode::SERVICE_UNAVAILABLE, RefusalCode::Unavailable);
    let mut response = answer(status, "server_error", code, None, message.to_owned());
    response.headers_mut().insert("retry-after-ms", HeaderValue::from_static("2000"));
    response
}

fn answer(
    status: StatusCode,
    kind: &str,
    code: RefusalCode,
    param: Option<&str>,
    message: String,
) -> Response {
    let error = ErrorDetail {
        message,
        kind: kind.to_owned(),
        param: param.map(str::to_owned),
        code: Some(code.to_string()),
    };
    let mut response = (status, Json(ErrorBody { id: None, error })).into_response();
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// For routes that can only be read.
pub(crate) async fn only_get(request: Request) -> Response {
    let message = format!("{} is not a method of {}; use GET", request.method(), request.uri().path());
    let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, RefusalCode::MethodNotAllowed, None, message);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

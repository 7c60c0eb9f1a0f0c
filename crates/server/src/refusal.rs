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
    let error = ErrorDetail {
        message: message.into(),
        kind: "invalid_request_error".to_owned(),
        param: param.map(str::to_owned),
        code: Some(code.to_string()),
    };
    let mut response = (status, Json(ErrorBody { id: None, error })).into_response();
    let headers = response.headers_mut();
    headers.insert("x-should-retry", HeaderValue::from_static("false"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What may work in a moment.
pub(crate) fn unavailable(message: &str) -> Response {
    let error = ErrorDetail {
        message: message.to_owned(),
        kind: "server_error".to_owned(),
        param: None,
        code: Some(RefusalCode::Unavailable.to_string()),
    };
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, Json(ErrorBody { id: None, error })).into_response();
    let headers = response.headers_mut();
    headers.insert("retry-after-ms", HeaderValue::from_static("2000"));
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

//! An error as every client of dedi gets it: the contract's JSON, and the headers that say whether to try again. Each
//! surface has an error type of its own; this is what all of them become.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dedi_api::{ErrorBody, ErrorDetail, RefusalCode};
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::request_id::RequestId;

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// How long a client waits after 503, where nothing better is known: a full disk or a backup's lock takes about that
/// long.
const UNAVAILABLE_DELAY: Duration = Duration::from_secs(2);

/// The `type` of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// `invalid_request_error`
    InvalidRequest,
    /// `not_found`
    NotFound,
    /// `server_error`
    Server,
}

impl ErrorType {
    fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request_error",
            Self::NotFound => "not_found",
            Self::Server => "server_error",
        }
    }
}

/// Whether a client should retry, for the headers of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// No header: the client's own rules apply.
    Unsaid,
    /// The same request would fail again.
    Never,
    /// At once: somebody else may answer it.
    AtOnce,
    /// After this delay.
    After(Duration),
}

/// An error that is an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    status: StatusCode,
    detail: ErrorDetail,
    retry: Retry,
    allow: Option<HeaderValue>,
    closes: bool,
}

impl ErrorResponse {
    /// An error without retry headers. `code` is for programs.
    pub fn new(
        status: StatusCode,
        kind: ErrorType,
        code: impl Into<Option<String>>,
        message: impl Into<String>,
    ) -> Self {
        let (message, kind) = (message.into(), kind.as_str().to_owned());
        let detail = ErrorDetail { message, kind, param: None, code: code.into() };
        Self { status, detail, retry: Retry::Unsaid, allow: None, closes: false }
    }

    /// A request that would be refused again.
    pub fn refused(status: StatusCode, code: RefusalCode, message: impl Into<String>) -> Self {
        Self::new(status, ErrorType::InvalidRequest, code.to_string(), message).retry(Retry::Never)
    }

    /// What may work in a moment.
    pub fn unavailable(message: impl Into<String>) -> Self {
        let (status, code) = (StatusCode::SERVICE_UNAVAILABLE, RefusalCode::Unavailable.to_string());
        Self::new(status, ErrorType::Server, code, message).retry(Retry::After(UNAVAILABLE_DELAY))
    }

    /// The server's own fault; the cause is in the log.
    pub fn internal() -> Self {
        let (status, code) = (StatusCode::INTERNAL_SERVER_ERROR, RefusalCode::InternalError.to_string());
        let message = "The server failed; its log has more under this request's id";
        Self::new(status, ErrorType::Server, code, message)
    }

    /// The method is not one of the route's; `allowed` are, with commas between them.
    pub fn wrong_method(allowed: &'static str, message: impl Into<String>) -> Self {
        let refused = Self::refused(StatusCode::METHOD_NOT_ALLOWED, RefusalCode::MethodNotAllowed, message);
        Self { allow: Some(HeaderValue::from_static(allowed)), ..refused }
    }

    /// The same about one field, named by its path.
    #[must_use]
    pub fn param(mut self, param: impl Into<Option<String>>) -> Self {
        self.detail.param = param.into();
        self
    }

    /// The same with other retry headers.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// The same as the last answer of its connection, such as where the rest of a body would be read as the next
    /// request.
    #[must_use]
    pub fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The error's fields, for instance for an event of a stream that has begun.
    pub fn detail(&self) -> &ErrorDetail {
        &self.detail
    }

    /// The same, taken.
    pub fn into_detail(self) -> ErrorDetail {
        self.detail
    }

    /// The JSON body, with the request's id where that is known.
    pub fn body(&self, id: Option<&RequestId>) -> Bytes {
        let body = ErrorBody { id: id.map(ToString::to_string), error: self.detail.clone() };
        serde_json::to_vec(&body).unwrap_or_default().into()
    }
}

/// Without the request's id; [the outermost layer](crate::assign_request_id) adds it.
impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body(None)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self.retry {
            Retry::Unsaid => {}
            Retry::Never => _ = headers.insert(SHOULD_RETRY, HeaderValue::from_static("false")),
            Retry::AtOnce => _ = headers.insert(SHOULD_RETRY, HeaderValue::from_static("true")),
            Retry::After(delay) => {
                let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                headers.insert(RETRY_AFTER_MS, HeaderValue::from(millis));
                headers.insert(header::RETRY_AFTER, HeaderValue::from(millis.div_ceil(1_000)));
            }
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(allow) = &self.allow {
            headers.insert(header::ALLOW, allow.clone());
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

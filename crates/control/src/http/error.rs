//! Every way a request can be refused, in one enum and one match. The client gets a sentence; causes go to the log.
//!
//! Command lines of the official SDKs search these sentences for words, so the words are part of the contract:
//! `Invalid hardware provided`, `Check the hardware API`, `hardware is required`, `Endpoint … not found`,
//! `Model … not found`, `permission`, `authentication`. No sentence has another's words.

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use dedi_api::{ErrorDetail, RefusalCode};
use http::header::CONNECTION;
use http::{HeaderName, HeaderValue, StatusCode};

/// Why a request was refused.
#[derive(Clone, Debug)]
pub(crate) enum ApiError {
    /// A field or the whole request is wrong; `param` is the field's path.
    Invalid {
        /// What is wrong.
        message: String,
        /// Which field.
        param: Option<String>,
        /// For programs; none where the field says it all.
        code: Option<RefusalCode>,
    },
    /// No key, or one that is not valid.
    Unauthenticated,
    /// One of too many keys that are not valid.
    TooManyKeys {
        /// When the next is looked at.
        retry_after: Duration,
    },
    /// A valid key whose role is too low.
    Forbidden(String),
    /// Nothing of that name for this tenant.
    NotFound(String),
    /// The route has other methods.
    Method,
    /// The body is too long.
    TooLarge,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body is not JSON.
    MediaType(String),
    /// It may work in a moment.
    Unavailable {
        /// Why it does not now.
        message: String,
        /// When to come back.
        retry_after: Duration,
    },
    /// Our fault.
    Internal,
}

pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
pub(crate) const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

impl ApiError {
    /// A wrong field.
    pub(crate) fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), param: Some(param.into()), code: None }
    }

    /// A wrong request.
    pub(crate) fn request(message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), param: None, code: None }
    }

    fn kind(&self) -> (StatusCode, &'static str, RefusalCode) {
        const REQUEST: &str = "invalid_request_error";
        match self {
            Self::Invalid { code, param, .. } => {
                let plain =
                    if param.is_some() { RefusalCode::InvalidValue } else { RefusalCode::InvalidRequest };
                (StatusCode::BAD_REQUEST, REQUEST, code.unwrap_or(plain))
            }
            Self::Unauthenticated => (StatusCode::FORBIDDEN, REQUEST, RefusalCode::InvalidApiKey),
            Self::TooManyKeys { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, REQUEST, RefusalCode::TooManyFailedAttempts)
            }
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, REQUEST, RefusalCode::PermissionDenied),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found", RefusalCode::NotFound),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, REQUEST, RefusalCode::MethodNotAllowed),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, REQUEST, RefusalCode::BodyTooLarge),
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, REQUEST, RefusalCode::BodyTimeout),
            Self::MediaType(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, REQUEST, RefusalCode::UnsupportedMediaType)
            }
            Self::Unavailable { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "server_error", RefusalCode::Unavailable)
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "server_error", RefusalCode::InternalError),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Invalid { message, .. } => message.clone(),
            Self::Unauthenticated => {
                "Invalid API key provided or authentication failed: send `Authorization: Bearer <key>` \
                 with a key of this server; its first one is in the file admin.key of its data folder"
                    .to_owned()
            }
            Self::TooManyKeys { retry_after } => format!(
                "Too many failed authentication attempts from this address; the next is looked at in {} s",
                retry_after.as_millis().div_ceil(1_000)
            ),
            Self::Forbidden(message)
            | Self::NotFound(message)
            | Self::MediaType(message)
            | Self::Unavailable { message, .. } => message.clone(),
            Self::Method => "This route does not take that method".to_owned(),
            Self::TooLarge => "The request body is longer than 64 KiB".to_owned(),
            Self::BodyTimeout => "The request body did not arrive in time".to_owned(),
            Self::Internal => "The server failed; its log has more under this request's id".to_owned(),
        }
    }

    fn param(&self) -> Option<String> {
        match self {
            Self::Invalid { param, .. } => param.clone(),
            Self::Unauthenticated
            | Self::TooManyKeys { .. }
            | Self::Forbidden(_)
            | Self::NotFound(_)
            | Self::Method
            | Self::TooLarge
            | Self::BodyTimeout
            | Self::MediaType(_)
            | Self::Unavailable { .. }
            | Self::Internal => None,
        }
    }

    /// The error for a status that some layer answered by itself.
    pub(crate) fn of_status(status: StatusCode) -> Option<Self> {
        match status {
            StatusCode::METHOD_NOT_ALLOWED => Some(Self::Method),
            StatusCode::NOT_FOUND => Some(Self::NotFound("There is no such route".to_owned())),
            StatusCode::PAYLOAD_TOO_LARGE => Some(Self::TooLarge),
            it if it.is_client_error() => Some(Self::request("The request could not be read")),
            it if it.is_server_error() => Some(Self::Internal),
            _ => None,
        }
    }
}

/// Travels with the response to the outermost layer, which knows the request's id and writes the body.
#[derive(Clone)]
pub(crate) struct Refused(pub(crate) Arc<ErrorDetail>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, kind, code) = self.kind();
        let detail = ErrorDetail {
            message: self.message(),
            kind: kind.to_owned(),
            param: self.param(),
            code: Some(code.to_string()),
        };
        let mut response = status.into_response();
        if let Self::TooManyKeys { .. } = self {
            let headers = response.headers_mut();
            // A wrong key stays one, and the v1 SDK waits as long as it is told, five times over: no word of a delay.
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if let Self::Unavailable { retry_after, .. } = self {
            let millis = HeaderValue::from(u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX));
            response.headers_mut().insert(RETRY_AFTER_MS, millis);
        }
        if matches!(self, Self::TooLarge | Self::BodyTimeout) {
            // What is left of the body would be read as the next request.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(Refused(Arc::new(detail)));
        response
    }
}

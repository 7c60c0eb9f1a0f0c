//! Every way a request can be refused, in one enum and one match. The client gets a sentence; causes go to the log.
//!
//! Command lines of the official SDKs search these sentences for words, so the words are part of the contract:
//! `Invalid hardware provided`, `Check the hardware API`, `hardware is required`, `Endpoint … not found`,
//! `Model … not found`, `permission`, `authentication`. No sentence has another's words.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use dedi_api::RefusalCode;
use dedi_domain::KeyRefusal;
use dedi_http::{BodyError, ErrorResponse, ErrorType, Retry};
use http::StatusCode;

/// Why a request was refused.
#[derive(Clone, Debug)]
pub(crate) enum ApiError {
    /// A field or the whole request is wrong; `param` is the field's path.
    Invalid {
        /// What is wrong.
        message: String,
        /// Path of the wrong field, where one is to blame.
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
    /// The body is not read.
    Body(BodyError),
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

impl ApiError {
    /// A wrong field.
    pub(crate) fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), param: Some(param.into()), code: None }
    }

    /// A wrong request.
    pub(crate) fn request(message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), param: None, code: None }
    }

    /// The answer. The request's id is added by the outermost layer.
    pub(crate) fn response(&self) -> ErrorResponse {
        use StatusCode as Status;
        match self {
            Self::Invalid { message, param, code } => {
                let plain =
                    if param.is_some() { RefusalCode::InvalidValue } else { RefusalCode::InvalidRequest };
                let code = code.unwrap_or(plain);
                ErrorResponse::refused(Status::BAD_REQUEST, code, message).param(param.clone())
            }
            Self::Unauthenticated => {
                let message = "Invalid API key provided or authentication failed: send `Authorization: Bearer <key>` \
                               with a key of this server; its first one is in the file admin.key of its data folder";
                ErrorResponse::refused(Status::FORBIDDEN, RefusalCode::InvalidApiKey, message)
            }
            // A wrong key stays one, and the v1 SDK waits as long as it is told, five times over: no word of a delay.
            Self::TooManyKeys { retry_after } => {
                let message = format!(
                    "Too many failed authentication attempts from this address; the next is looked at in {} s",
                    retry_after.as_millis().div_ceil(1_000)
                );
                ErrorResponse::refused(Status::TOO_MANY_REQUESTS, RefusalCode::TooManyFailedAttempts, message)
            }
            Self::Forbidden(message) => {
                ErrorResponse::refused(Status::FORBIDDEN, RefusalCode::PermissionDenied, message)
            }
            Self::NotFound(message) => {
                let code = RefusalCode::NotFound.to_string();
                ErrorResponse::new(Status::NOT_FOUND, ErrorType::NotFound, code, message).retry(Retry::Never)
            }
            Self::Method => {
                let message = "This route does not take that method";
                ErrorResponse::refused(Status::METHOD_NOT_ALLOWED, RefusalCode::MethodNotAllowed, message)
            }
            Self::Body(error) => error.into(),
            Self::Unavailable { message, retry_after } => {
                ErrorResponse::unavailable(message).retry(Retry::After(*retry_after))
            }
            Self::Internal => ErrorResponse::internal(),
        }
    }

    /// The error for a status that some layer answered by itself.
    pub(crate) fn of_status(status: StatusCode) -> Option<Self> {
        match status {
            StatusCode::METHOD_NOT_ALLOWED => Some(Self::Method),
            StatusCode::NOT_FOUND => Some(Self::NotFound("There is no such route".to_owned())),
            it if it.is_client_error() => Some(Self::request("The request could not be read")),
            it if it.is_server_error() => Some(Self::Internal),
            _ => None,
        }
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<KeyRefusal> for ApiError {
    fn from(refusal: KeyRefusal) -> Self {
        match refusal {
            KeyRefusal::Invalid => Self::Unauthenticated,
            KeyRefusal::TooMany { retry_after } => Self::TooManyKeys { retry_after },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.response().into_response()
    }
}

//! What a request that is not served hears.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use dedi_api::ErrorBody;
use dedi_http::{BodyError, ErrorResponse, ErrorType, Retry};
use http::StatusCode;

use crate::worker::SubmitError;

const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// A field is missing, of the wrong type or out of range.
    Invalid {
        /// The field, when there is one.
        param: Option<String>,
        /// What is wrong and what would work.
        message: String,
    },
    /// The field is right, and the model has nothing it could change.
    Lacks {
        /// The field.
        param: String,
        /// What the model lacks.
        message: String,
    },
    /// Prompt and reply do not fit into the context.
    TooLong {
        /// With both numbers.
        message: String,
    },
    /// The body is not read.
    Body(BodyError),
    /// The model is still being loaded, or is going.
    Unavailable(&'static str),
    /// As many requests wait as may.
    Busy,
    /// As many forms of replies are being compiled or wait for that as may.
    FormsBusy,
    /// No such route.
    NotFound,
    /// The route exists, but not with this method.
    Method,
    /// The engine's fault; the sentence is fit for clients.
    Internal(String),
}

impl ApiError {
    /// A field that is wrong.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { param: Some(param.into()), message: message.into() }
    }

    /// A form of the reply that cannot be followed.
    pub fn unfit(param: &str, cause: &str) -> Self {
        Self::invalid(param, format!("`{param}` cannot be followed: {cause}."))
    }

    /// The body clients read.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        ErrorBody { id: None, error: self.response().into_detail() }
    }

    fn response(&self) -> ErrorResponse {
        let request = |code: Option<&str>, message: &str| {
            let code = code.map(str::to_owned);
            ErrorResponse::new(StatusCode::BAD_REQUEST, ErrorType::InvalidRequest, code, message)
        };
        let unavailable = |code: &str, message: &str| {
            let (status, kind) = (StatusCode::SERVICE_UNAVAILABLE, ErrorType::Server);
            ErrorResponse::new(status, kind, code.to_owned(), message)
        };
        match self {
            Self::Invalid { param, message } => request(None, message).param(param.clone()),
            Self::Lacks { param, message } => {
                request(Some("unsupported_by_model"), message).param(param.clone())
            }
            Self::TooLong { message } => request(Some("context_length_exceeded"), message),
            Self::Body(error) => error.into(),
            Self::Unavailable(message) => unavailable("not_ready", message),
            Self::Busy => {
                let message = "All slots are busy and the queue is full. Try again in a moment.";
                unavailable("queue_full", message).retry(Retry::After(RETRY_AFTER))
            }
            Self::FormsBusy => {
                let message = "Too many response formats are being prepared. Try again in a moment.";
                unavailable("queue_full", message).retry(Retry::After(RETRY_AFTER))
            }
            Self::NotFound => {
                let message = "No such route. There are /v1/chat/completions, /v1/completions, /v1/embeddings, \
                               /v1/models, /health and /metrics.";
                ErrorResponse::new(
                    StatusCode::NOT_FOUND,
                    ErrorType::NotFound,
                    "not_found".to_owned(),
                    message,
                )
            }
            Self::Method => {
                let message = "This route does not take this method.";
                ErrorResponse::new(StatusCode::METHOD_NOT_ALLOWED, ErrorType::InvalidRequest, None, message)
            }
            Self::Internal(message) => {
                ErrorResponse::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorType::Server, None, message)
            }
        }
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Full => Self::Busy,
            SubmitError::Stopped => Self::Unavailable("The engine is stopping and takes no new requests."),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.response().into_response()
    }
}

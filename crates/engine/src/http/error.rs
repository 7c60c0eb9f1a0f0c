//! What a request that is not served hears.

use axum::Json;
use axum::response::{IntoResponse, Response};
use dedi_api::{ErrorBody, ErrorDetail};
use http::{HeaderValue, StatusCode, header};

use crate::worker::SubmitError;

const RETRY_AFTER_SECS: u16 = 1;

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
    /// The body is larger than is read.
    TooLarge,
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

    fn status_and_type(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Invalid { .. } | Self::Lacks { .. } | Self::TooLong { .. } => {
                (StatusCode::BAD_REQUEST, "invalid_request_error")
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error"),
            Self::Unavailable(_) | Self::Busy | Self::FormsBusy => {
                (StatusCode::SERVICE_UNAVAILABLE, "server_error")
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
        }
    }

    /// The body clients read.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        let (_, kind) = self.status_and_type();
        let (message, param, code) = match self {
            Self::Invalid { param, message } => (message.clone(), param.clone(), None),
            Self::Lacks { param, message } => {
                (message.clone(), Some(param.clone()), Some("unsupported_by_model"))
            }
            Self::TooLong { message } => (message.clone(), None, Some("context_length_exceeded")),
            Self::TooLarge => ("The request's body is larger than 32 MiB.".to_owned(), None, None),
            Self::Unavailable(message) => ((*message).to_owned(), None, Some("not_ready")),
            Self::Busy => {
                let message = "All slots are busy and the queue is full. Try again in a moment.".to_owned();
                (message, None, Some("queue_full"))
            }
            Self::FormsBusy => {
                let message =
                    "Too many response formats are being prepared. Try again in a moment.".to_owned();
                (message, None, Some("queue_full"))
            }
            Self::NotFound => {
                let message = "No such route. There are /v1/chat/completions, /v1/completions, /v1/embeddings, \
                               /v1/models, /health and /metrics.";
                (message.to_owned(), None, Some("not_found"))
            }
            Self::Method => ("This route does not take this method.".to_owned(), None, None),
            Self::Internal(message) => (message.clone(), None, None),
        };
        let code = code.map(str::to_owned);
        ErrorBody { id: None, error: ErrorDetail { message, kind: kind.to_owned(), param, code } }
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
        let (status, _) = self.status_and_type();
        let mut response = (status, Json(self.body())).into_response();
        if matches!(self, Self::Busy | Self::FormsBusy) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECS));
        }
        response
    }
}

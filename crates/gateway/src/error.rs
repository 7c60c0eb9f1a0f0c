//! The one error of the data plane, and the one match that turns it into a status. Each message is a sentence
//! the client can act on; causes go to the log.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use dedi_api::{ErrorDetail, RefusalCode};
use dedi_domain::route::Ending;
use dedi_domain::{EndpointState, KeyRefusal, Role};
use dedi_http::{BodyError, ErrorResponse, ErrorType, Retry};
use http::StatusCode;

/// Why a request gets no answer, or no whole one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum ApiError {
    #[error(
        "Invalid API key: authentication failed. Send `Authorization: Bearer <key>` with a key of this server"
    )]
    InvalidKey,
    #[error("Too many failed authentication attempts from this address; the next is looked at in {} s. Trying \
         again does not make a key valid: send one of this server", secs(*retry_after))]
    TooManyKeys { retry_after: Duration },
    #[error(
        "The API key of this request was revoked or has expired; what was under way ended with it. Send another key"
    )]
    KeyEnded,
    #[error("A key with the role `{}` may not run inference; use one with the role inference, developer, owner or admin", role.as_str())]
    RoleForbidden { role: Role },
    #[error("{message}")]
    Invalid { param: Option<String>, message: String },
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("{method} is not a method of {path}; use POST")]
    Method { method: String, path: String },
    #[error(
        "Unable to access the model `{model}`: this key can use no such endpoint. `model` takes the name or the id of one of your endpoints; GET /v1/endpoints lists them"
    )]
    UnknownModel { model: String },
    #[error(
        "Unable to access non-serverless model `{model}`: it is on this host, but models are served by dedicated endpoints only. Create one for it, and send its name as `model`"
    )]
    ModelNotAvailable { model: String },
    #[error("The dedicated endpoint for {model} is not running. It is {state}{}", reason(why))]
    NotRunning { model: String, state: EndpointState, why: String },
    #[error("This endpoint has {max} requests running or waiting, its limit; try again in a moment")]
    EndpointFull { max: u32 },
    #[error(
        "This key has {share} requests running or waiting at this endpoint, its share while the endpoint is busy; try again in a moment"
    )]
    KeyShareFull { share: u32 },
    #[error("The requests that are running hold all the memory set aside for them; try again in a moment")]
    MemoryFull,
    #[error(
        "The requests of this key or its account hold {} KiB, their share of the memory for request bodies; try again when some have ended",
        bytes >> 10
    )]
    MemoryShareFull { bytes: u64 },
    #[error(
        "This key has no endpoint it could use, so its request body was not read; create an endpoint and send its name as `model`"
    )]
    NoEndpoint,
    #[error(
        "Requests with this key were on replicas as those crashed, more than once; until that is some minutes past, they are taken one at a time, the next in {} s",
        secs(*retry_after)
    )]
    KeySlowed { retry_after: Duration },
    #[error("The endpoint was waking up for {} s and no replica is ready yet; try again in {} s{}", secs(*waited), secs(*retry_after), reason(why))]
    ColdStart { waited: Duration, why: String, retry_after: Duration },
    #[error("The dedicated endpoint for {model} has no replica ready{}; try again in {} s{}", after(*waited), secs(*retry_after), reason(why))]
    Starting { model: String, waited: Duration, why: String, retry_after: Duration },
    #[error("{message}")]
    EngineRefused { status: StatusCode, message: String, param: Option<String>, code: Option<String> },
    #[error("The endpoint's replicas are all busy; try again in a moment")]
    EngineBusy,
    #[error("The replica that took the request could not answer it: {0}")]
    EngineFailed(String),
    #[error(
        "The replica that took the request crashed, and this was the only request on it; it is not sent to another one"
    )]
    EngineCrashed,
    #[error("The replica that took the request sent nothing for {} s", secs(*after))]
    FirstByteTimeout { after: Duration },
    #[error("The replica that took the request stopped sending for {} s; the answer is incomplete", secs(*after))]
    IdleTimeout { after: Duration },
    #[error("The answer took longer than {} s and was ended; it is incomplete", secs(*after))]
    TotalTimeout { after: Duration },
    #[error(
        "{}, and its requests had {} s to finish; this one is not finished",
        if .0.stops_endpoint { "The endpoint was stopped" } else { "The replica that took the request was retired" },
        secs(.0.drain_timeout)
    )]
    Drained(Ending),
    #[error("The server is shutting down; the answer is incomplete")]
    ShuttingDown,
    #[error("The server could not do this; its log has the cause under this request's id")]
    Internal,
}

fn secs(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX)
}

fn after(waited: Duration) -> String {
    if waited.is_zero() { String::new() } else { format!(" after {} s", secs(waited)) }
}

fn reason(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}

impl ApiError {
    /// A refusal of one field.
    pub(crate) fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { param: Some(param.into()), message: message.into() }
    }

    /// A replica that could not answer, and how.
    pub(crate) fn failed(how: impl Into<String>) -> Self {
        Self::EngineFailed(how.into())
    }

    /// The engine was asked for a chat's prompt and does not know how.
    pub(crate) fn no_echo() -> Self {
        Self::field(
            "echo",
            "the engine of this endpoint does not tell the prompt of a chat; leave `echo` out, or use completions",
        )
    }

    /// Status, type, code.
    fn kind(&self) -> (StatusCode, ErrorType, RefusalCode) {
        const REQUEST: ErrorType = ErrorType::InvalidRequest;
        const SERVER: ErrorType = ErrorType::Server;
        match self {
            Self::InvalidKey => (StatusCode::UNAUTHORIZED, REQUEST, RefusalCode::InvalidApiKey),
            Self::KeyEnded => (StatusCode::UNAUTHORIZED, REQUEST, RefusalCode::KeyRevoked),
            Self::TooManyKeys { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, REQUEST, RefusalCode::TooManyFailedAttempts)
            }
            Self::RoleForbidden { .. } => (StatusCode::FORBIDDEN, REQUEST, RefusalCode::PermissionDenied),
            Self::Invalid { param: Some(_), .. } => {
                (StatusCode::BAD_REQUEST, REQUEST, RefusalCode::InvalidValue)
            }
            Self::Invalid { param: None, .. } => {
                (StatusCode::BAD_REQUEST, REQUEST, RefusalCode::InvalidRequest)
            }
            Self::Body(it) => {
                let (status, code) = it.status_and_code();
                (status, REQUEST, code)
            }
            Self::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, REQUEST, RefusalCode::MethodNotAllowed),
            Self::UnknownModel { .. } => (StatusCode::NOT_FOUND, REQUEST, RefusalCode::ModelNotAvailable),
            Self::ModelNotAvailable { .. } => {
                (StatusCode::BAD_REQUEST, REQUEST, RefusalCode::ModelNotAvailable)
            }
            Self::NotRunning { .. } => (StatusCode::BAD_REQUEST, REQUEST, RefusalCode::NotRunning),
            Self::EndpointFull { .. } | Self::KeyShareFull { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, SERVER, RefusalCode::EndpointFull)
            }
            Self::MemoryFull | Self::MemoryShareFull { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, SERVER, RefusalCode::MemoryFull)
            }
            Self::NoEndpoint => (StatusCode::NOT_FOUND, REQUEST, RefusalCode::ModelNotAvailable),
            Self::KeySlowed { .. } => (StatusCode::TOO_MANY_REQUESTS, REQUEST, RefusalCode::KeySlowed),
            Self::ColdStart { .. } => (StatusCode::SERVICE_UNAVAILABLE, SERVER, RefusalCode::ColdStart),
            Self::Starting { .. } => (StatusCode::SERVICE_UNAVAILABLE, SERVER, RefusalCode::Starting),
            Self::EngineRefused { status, .. } => (*status, REQUEST, RefusalCode::EngineRefused),
            Self::EngineBusy => (StatusCode::SERVICE_UNAVAILABLE, SERVER, RefusalCode::ReplicasBusy),
            Self::EngineFailed(_) | Self::EngineCrashed => {
                (StatusCode::BAD_GATEWAY, SERVER, RefusalCode::ReplicaFailed)
            }
            Self::FirstByteTimeout { .. } => {
                (StatusCode::GATEWAY_TIMEOUT, SERVER, RefusalCode::FirstByteTimeout)
            }
            Self::IdleTimeout { .. } => (StatusCode::GATEWAY_TIMEOUT, SERVER, RefusalCode::IdleTimeout),
            Self::TotalTimeout { .. } => (StatusCode::GATEWAY_TIMEOUT, SERVER, RefusalCode::TotalTimeout),
            Self::Drained(_) => (StatusCode::SERVICE_UNAVAILABLE, SERVER, RefusalCode::DrainTimeout),
            Self::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, SERVER, RefusalCode::ShuttingDown),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, SERVER, RefusalCode::InternalError),
        }
    }

    /// The status it is answered with.
    pub(crate) fn status(&self) -> StatusCode {
        self.kind().0
    }

    /// When to come back, for the errors that pass by themselves.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::EndpointFull { .. }
            | Self::KeyShareFull { .. }
            | Self::MemoryFull
            | Self::MemoryShareFull { .. }
            | Self::EngineBusy => Some(Duration::from_secs(1)),
            Self::ColdStart { retry_after, .. }
            | Self::Starting { retry_after, .. }
            | Self::KeySlowed { retry_after } => Some(*retry_after),
            Self::ShuttingDown => Some(Duration::from_secs(2)),
            Self::Drained(it) => (!it.stops_endpoint).then_some(Duration::from_secs(1)),
            // The same key is as wrong in a minute, and the v1 SDK obeys every `retry-after`, up to five times.
            Self::TooManyKeys { .. }
            | Self::InvalidKey
            | Self::KeyEnded
            | Self::RoleForbidden { .. }
            | Self::Invalid { .. }
            | Self::Body(_)
            | Self::Method { .. }
            | Self::UnknownModel { .. }
            | Self::ModelNotAvailable { .. }
            | Self::NotRunning { .. }
            | Self::EngineRefused { .. }
            | Self::EngineFailed(_)
            | Self::EngineCrashed
            | Self::NoEndpoint
            | Self::FirstByteTimeout { .. }
            | Self::IdleTimeout { .. }
            | Self::TotalTimeout { .. }
            | Self::Internal => None,
        }
    }

    /// What another try is good for.
    fn retry(&self) -> Retry {
        match self.retry_after() {
            Some(delay) => Retry::After(delay),
            // Only a replica's failure is worth a second try at once: another one may do it.
            None if self.status() == StatusCode::BAD_GATEWAY && *self != Self::EngineCrashed => Retry::AtOnce,
            None => Retry::Never,
        }
    }

    /// The answer, as long as nothing has been sent.
    pub(crate) fn response(&self) -> ErrorResponse {
        if let Self::Body(it) = self {
            return it.into();
        }
        if let Self::Method { .. } = self {
            return ErrorResponse::wrong_method("POST", self.to_string());
        }
        let (status, kind, code) = self.kind();
        let response =
            |code: String| ErrorResponse::new(status, kind, code, self.to_string()).retry(self.retry());
        if let Self::Invalid { param, .. } = self {
            return response(code.to_string()).param(param.clone());
        }
        if let Self::EngineRefused { param, code: own, .. } = self {
            // The engine's code is more precise than ours.
            let code = own.clone().unwrap_or_else(|| code.to_string());
            return response(code).param(param.clone());
        }
        response(code.to_string())
    }

    /// The last event of a stream that has begun.
    pub(crate) fn event(&self) -> Vec<u8> {
        #[derive(serde::Serialize)]
        struct Event {
            error: ErrorDetail,
        }
        let mut bytes = b"data: ".to_vec();
        let error = self.response().into_detail();
        bytes.extend(serde_json::to_vec(&Event { error }).unwrap_or_default());
        bytes.extend_from_slice(b"\n\n");
        bytes
    }
}

impl From<KeyRefusal> for ApiError {
    fn from(refusal: KeyRefusal) -> Self {
        match refusal {
            KeyRefusal::Invalid => Self::InvalidKey,
            KeyRefusal::TooMany { retry_after } => Self::TooManyKeys { retry_after },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.response().into_response()
    }
}

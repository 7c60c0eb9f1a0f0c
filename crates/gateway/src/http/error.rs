//! The one error of the data plane, and the one match that turns it into a status. Each message is a sentence
//! the client can act on; causes go to the log.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use dedi_api::{ErrorBody, ErrorDetail, RefusalCode};
use dedi_domain::route::Ending;
use dedi_domain::{EndpointState, Role};
use http::{HeaderValue, StatusCode, header};

use super::RequestId;

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
    #[error("{0}")]
    UnsupportedMedia(&'static str),
    #[error("The request body is larger than {max} bytes; send a shorter one")]
    TooLarge { max: usize },
    #[error("The request body did not arrive in time")]
    BodyTimeout,
    #[error("The request body was cut off")]
    BodyCut,
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

    /// Status, type, code.
    fn kind(&self) -> (StatusCode, &'static str, RefusalCode) {
        const REQUEST: &str = "invalid_request_error";
        const SERVER: &str = "server_error";
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
            Self::UnsupportedMedia(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, REQUEST, RefusalCode::UnsupportedMediaType)
            }
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, REQUEST, RefusalCode::BodyTooLarge),
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, REQUEST, RefusalCode::BodyTimeout),
            Self::BodyCut => (StatusCode::BAD_REQUEST, REQUEST, RefusalCode::BodyCut),
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
            // The same key is as wrong in a minute, and the v1 SDK obeys every delay it is told, up to five times.
            Self::TooManyKeys { .. }
            | Self::InvalidKey
            | Self::KeyEnded
            | Self::RoleForbidden { .. }
            | Self::Invalid { .. }
            | Self::UnsupportedMedia(_)
            | Self::TooLarge { .. }
            | Self::BodyTimeout
            | Self::BodyCut
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

    fn detail(&self) -> ErrorDetail {
        let (_, kind, code) = self.kind();
        let (param, own) = match self {
            Self::Invalid { param, .. } => (param.clone(), None),
            // The engine's word for it says more than that it refused.
            Self::EngineRefused { param, code, .. } => (param.clone(), code.clone()),
            Self::InvalidKey
            | Self::KeyEnded
            | Self::TooManyKeys { .. }
            | Self::RoleForbidden { .. }
            | Self::UnsupportedMedia(_)
            | Self::TooLarge { .. }
            | Self::BodyTimeout
            | Self::BodyCut
            | Self::Method { .. }
            | Self::UnknownModel { .. }
            | Self::ModelNotAvailable { .. }
            | Self::NotRunning { .. }
            | Self::EndpointFull { .. }
            | Self::KeyShareFull { .. }
            | Self::MemoryFull
            | Self::MemoryShareFull { .. }
            | Self::NoEndpoint
            | Self::KeySlowed { .. }
            | Self::ColdStart { .. }
            | Self::Starting { .. }
            | Self::EngineBusy
            | Self::EngineFailed(_)
            | Self::EngineCrashed
            | Self::FirstByteTimeout { .. }
            | Self::IdleTimeout { .. }
            | Self::TotalTimeout { .. }
            | Self::Drained(_)
            | Self::ShuttingDown
            | Self::Internal => (None, None),
        };
        let code = Some(own.unwrap_or_else(|| code.to_string()));
        ErrorDetail { message: self.to_string(), kind: kind.to_owned(), param, code }
    }

    /// The answer, as long as nothing has been sent.
    pub(crate) fn respond(&self, id: &RequestId) -> Response {
        let body = ErrorBody { id: Some(id.to_string()), error: self.detail() };
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = super::response(self.status(), "application/json", Body::from(bytes), id);
        let headers = response.headers_mut();
        match self.retry_after() {
            Some(delay) => {
                let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                headers.insert("retry-after-ms", HeaderValue::from(millis));
                headers.insert(header::RETRY_AFTER, HeaderValue::from(secs(delay)));
            }
            None => {
                // Only a replica's failure is worth a second try at once: another one may do it.
                let again = self.status() == StatusCode::BAD_GATEWAY && *self != Self::EngineCrashed;
                let again = if again { "true" } else { "false" };
                headers.insert("x-should-retry", HeaderValue::from_static(again));
            }
        }
        if matches!(self, Self::TooLarge { .. } | Self::BodyTimeout | Self::BodyCut) {
            // What is left of the body would be read as the next request.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if matches!(self, Self::Method { .. }) {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }

    /// The last event of a stream that has begun.
    pub(crate) fn event(&self) -> Vec<u8> {
        #[derive(serde::Serialize)]
        struct Event {
            error: ErrorDetail,
        }
        let mut bytes = b"data: ".to_vec();
        bytes.extend(serde_json::to_vec(&Event { error: self.detail() }).unwrap_or_default());
        bytes.extend_from_slice(b"\n\n");
        bytes
    }
}

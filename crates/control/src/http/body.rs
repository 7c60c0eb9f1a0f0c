//! Request bodies: JSON objects, bounded in size and time.

use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequest;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use super::api::Api;
use super::error::ApiError;
use super::json;
use super::layer::Sender;
use crate::config::ControlConfig;

/// Longest body of the management API.
const BODY_BYTES_MAX: usize = 64 << 10;

/// A request's JSON object, as it came. Handlers read it once they know that the caller has the role for it: whoever has
/// not is told so, whatever the fields say.
#[derive(Debug)]
pub(super) struct JsonBody(pub(super) Bytes);

impl JsonBody {
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        // No body at all is an empty object: the v1 SDK sends that for an update of nothing, without a type.
        json::read(if is_blank(&self.0) { b"{}" } else { &self.0 })
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}

impl FromRequest<Api> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, api: &Api) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let encoding = parts.headers.get(CONTENT_ENCODING);
        if encoding.is_some_and(|it| it != "identity") {
            return Err(ApiError::MediaType("Compressed request bodies are not accepted".to_owned()));
        }
        let bytes = read(body, &api.config).await?;
        // A body may take its time, and its key may have been revoked meanwhile.
        let sender = parts.extensions.get::<Sender>().and_then(Sender::get);
        if sender.is_some_and(|it| !api.keys.is_still_valid(it)) {
            return Err(ApiError::Unauthenticated);
        }
        if !is_blank(&bytes) {
            check_type(&parts.headers)?;
            json::must_be_object(&bytes)?;
        }
        Ok(Self(bytes))
    }
}

/// The whole body, bounded in size and time.
async fn read(mut body: Body, config: &ControlConfig) -> Result<Bytes, ApiError> {
    let deadline = Instant::now() + Duration::from_millis(config.body_timeout_ms);
    let pause_max = Duration::from_millis(config.body_idle_timeout_ms);
    let mut bytes = BytesMut::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let frame = match timeout(left.min(pause_max), body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_cut))) => return Err(ApiError::request("The request body ended too early")),
            Ok(None) => return Ok(bytes.freeze()),
            Err(_elapsed) => return Err(ApiError::BodyTimeout),
        };
        let data = frame.into_data().unwrap_or_default();
        if bytes.len() + data.len() > BODY_BYTES_MAX {
            return Err(ApiError::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json")) {
        return Ok(());
    }
    Err(ApiError::MediaType(format!(
        "The request body must be JSON: send `Content-Type: application/json` instead of `{}`",
        kind.escape_debug()
    )))
}

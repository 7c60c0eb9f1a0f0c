//! Request bodies: JSON objects, bounded in size and time.

use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequest;
use bytes::Bytes;
use dedi_http::{BodyError, BodyLimits, check_head, check_json, read_body};
use http::Request;
use serde::de::DeserializeOwned;

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
        let limits = limits(&api.config);
        check_head(&parts.headers, limits.bytes_max)?;
        let bytes = read_body(body, &limits, |_, _| Ok::<(), BodyError>(())).await?;
        // A body may take its time, and its key may have been revoked meanwhile.
        let sender = parts.extensions.get::<Sender>().and_then(Sender::get);
        if sender.is_some_and(|it| !api.keys.is_still_valid(it)) {
            return Err(ApiError::Unauthenticated);
        }
        if !is_blank(&bytes) {
            check_json(&parts.headers)?;
            json::must_be_object(&bytes)?;
        }
        Ok(Self(bytes))
    }
}

fn limits(config: &ControlConfig) -> BodyLimits {
    BodyLimits {
        bytes_max: BODY_BYTES_MAX,
        time_max: Duration::from_millis(config.body_timeout_ms),
        pause_max: Duration::from_millis(config.body_idle_timeout_ms),
        bytes_per_sec_min: 0,
    }
}

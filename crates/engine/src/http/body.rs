//! The body of a request.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use dedi_http::{BodyLimits, check_head, check_json, read_body};

use super::error::ApiError;

// The gateway's limits are narrower; these only keep a stray client from filling the memory, or from staying.
const LIMITS: BodyLimits = BodyLimits {
    bytes_max: 32 << 20,
    time_max: Duration::from_secs(300),
    pause_max: Duration::from_secs(60),
    bytes_per_sec_min: 0,
};

/// The bytes of a JSON body, not yet read as JSON.
pub(super) struct JsonBytes(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, ApiError> {
        let (head, body) = request.into_parts();
        check_head(&head.headers, LIMITS.bytes_max)?;
        check_json(&head.headers)?;
        read_body(body, &LIMITS, |_, _| Ok(())).await.map(Self)
    }
}

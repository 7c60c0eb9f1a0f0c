//! Reads a request body: JSON, uncompressed, and bounded in size, time and pace.
//!
//! One rule for JSON on every route: `application/json`, any `application/…+json`, or no type at all, which is read as
//! JSON too and refused where it is none.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use dedi_api::RefusalCode;
use http::{HeaderMap, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout};

use crate::error::ErrorResponse;

/// How long a body may take before its pace counts: a handshake on a bad line, or a slow start.
const PACE_AFTER: Duration = Duration::from_secs(10);

/// Limits of a request body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Longest body, in bytes.
    pub bytes_max: usize,
    /// Longest time for all of it.
    pub time_max: Duration,
    /// Longest pause between two chunks.
    pub pause_max: Duration,
    /// Minimum average rate in bytes per second, once some seconds have passed; 0 for none.
    pub bytes_per_sec_min: u32,
}

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It has a `content-encoding`.
    #[error("Compressed request bodies are not accepted; send it without Content-Encoding")]
    Compressed,
    /// Its `content-type` is not JSON.
    #[error("The request body must be JSON: send `Content-Type: application/json` instead of `{media}`")]
    NotJson {
        /// The type that was sent, shortened for messages.
        media: String,
    },
    /// It is longer than `max`.
    #[error("The request body is larger than {max} bytes; send a shorter one")]
    TooLarge {
        /// The limit in bytes.
        max: usize,
    },
    /// The body, or its next chunk, did not arrive in time.
    #[error("The request body did not arrive in time")]
    Timeout,
    /// The connection broke before its end.
    #[error("The request body was cut off")]
    Cut,
}

impl BodyError {
    /// The error as a response.
    pub fn status_and_code(&self) -> (StatusCode, RefusalCode) {
        match self {
            Self::Compressed | Self::NotJson { .. } => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, RefusalCode::UnsupportedMediaType)
            }
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, RefusalCode::BodyTooLarge),
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, RefusalCode::BodyTimeout),
            Self::Cut => (StatusCode::BAD_REQUEST, RefusalCode::BodyCut),
        }
    }
}

impl From<&BodyError> for ErrorResponse {
    fn from(error: &BodyError) -> Self {
        let (status, code) = error.status_and_code();
        // What is left of the body would be read as the next request.
        Self::refused(status, code, error.to_string()).closing()
    }
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        ErrorResponse::from(&self).into_response()
    }
}

/// Refuses by header what need not be read: a compressed body, and one that is announced as too long.
///
/// # Errors
/// [`BodyError::Compressed`] and [`BodyError::TooLarge`].
pub fn check_head(headers: &HeaderMap, bytes_max: usize) -> Result<(), BodyError> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.any(|it| !it.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity")) {
        return Err(BodyError::Compressed);
    }
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|it| it > bytes_max as u64) {
        return Err(BodyError::TooLarge { max: bytes_max });
    }
    Ok(())
}

/// Refuses a body whose type is not JSON's.
///
/// # Errors
/// [`BodyError::NotJson`].
pub fn check_json(headers: &HeaderMap) -> Result<(), BodyError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or_default();
    let media = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = media.strip_prefix("application/").unwrap_or_default();
    if subtype == "json" || subtype.ends_with("+json") {
        return Ok(());
    }
    Err(BodyError::NotJson { media: media.escape_debug().take(SHOWN_MAX).collect() })
}

/// Characters of a client's text in a message.
const SHOWN_MAX: usize = 64;

/// The whole body. `admit` sees each chunk before it is kept, and whether it is the last; an error from it ends the
/// reading.
///
/// # Errors
/// [`BodyError::TooLarge`], [`BodyError::Timeout`], [`BodyError::Cut`], and what `admit` gives.
pub async fn read_body<E: From<BodyError>>(
    mut body: Body,
    limits: &BodyLimits,
    mut admit: impl FnMut(&[u8], bool) -> Result<(), E>,
) -> Result<Bytes, E> {
    let begun = Instant::now();
    let deadline = begun + limits.time_max;
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        let n_read = first.len() + all.len();
        let left = deadline.saturating_duration_since(Instant::now());
        let pause = left.min(limits.pause_max).min(patience(n_read, begun.elapsed(), limits));
        let data = match timeout(pause, body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            Ok(Some(Err(_broken))) => return Err(BodyError::Cut.into()),
            Err(_elapsed) => return Err(BodyError::Timeout.into()),
        };
        if n_read + data.len() > limits.bytes_max {
            return Err(BodyError::TooLarge { max: limits.bytes_max }.into());
        }
        admit(&data, body.is_end_stream())?;
        // Most bodies come in one chunk and need not be copied.
        if n_read == 0 {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&first);
                first = Bytes::new();
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// How long a body of which `n_read` bytes have come `elapsed` after its beginning may take for its next chunk, to
/// keep the least pace.
fn patience(n_read: usize, elapsed: Duration, limits: &BodyLimits) -> Duration {
    if limits.bytes_per_sec_min == 0 {
        return Duration::MAX;
    }
    let paid_for = (n_read as u64).saturating_mul(1_000) / u64::from(limits.bytes_per_sec_min);
    (PACE_AFTER + Duration::from_millis(paid_for)).saturating_sub(elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(bytes_per_sec_min: u32) -> BodyLimits {
        let secs = Duration::from_secs;
        BodyLimits { bytes_max: 10, time_max: secs(5), pause_max: secs(5), bytes_per_sec_min }
    }

    #[test]
    fn body_that_trickles_runs_out_of_patience() {
        let secs = Duration::from_secs;
        assert_eq!(patience(0, secs(0), &limits(1_000)), secs(10));
        assert_eq!(patience(1, secs(10), &limits(1_000)), Duration::from_millis(1));
        assert_eq!(patience(5_000, secs(12), &limits(1_000)), secs(3));
        assert_eq!(patience(5_000, secs(16), &limits(1_000)), secs(0));
        assert!(patience(0, secs(1_000), &limits(0)) > secs(3_600));
    }

    #[tokio::test]
    async fn body_is_read_to_its_limit_and_no_further() {
        let read = async |size: usize| {
            let body = Body::from(vec![b'x'; size]);
            read_body(body, &limits(0), |_, _| Ok::<(), BodyError>(())).await
        };
        assert_eq!(read(10).await.unwrap().len(), 10);
        assert_eq!(read(11).await.unwrap_err(), BodyError::TooLarge { max: 10 });
        assert!(read(0).await.unwrap().is_empty());
        let refuses = |_: &[u8], _| Err(BodyError::Cut);
        assert_eq!(read_body(Body::from("x"), &limits(0), refuses).await.unwrap_err(), BodyError::Cut);
    }

    #[test]
    fn body_type_has_one_rule() {
        let with = |name: header::HeaderName, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            headers
        };
        assert_eq!(check_json(&HeaderMap::new()), Ok(()));
        for json in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/merge-patch+json",
            "application/json ;x",
        ] {
            assert_eq!(check_json(&with(header::CONTENT_TYPE, json)), Ok(()), "{json}");
        }
        for other in
            ["", "text/plain", "text/json", "application/jsonl", "json", "application/x-www-form-urlencoded"]
        {
            let refused = check_json(&with(header::CONTENT_TYPE, other)).unwrap_err();
            assert!(matches!(&refused, BodyError::NotJson { media } if media == other), "{refused:?}");
        }
        assert_eq!(check_head(&with(header::CONTENT_ENCODING, "Identity"), 5), Ok(()));
        assert_eq!(check_head(&with(header::CONTENT_ENCODING, "gzip"), 5), Err(BodyError::Compressed));
        assert_eq!(check_head(&with(header::CONTENT_LENGTH, "5"), 5), Ok(()));
        assert_eq!(check_head(&with(header::CONTENT_LENGTH, "6"), 5), Err(BodyError::TooLarge { max: 5 }));
    }
}

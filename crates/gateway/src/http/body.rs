//! Reads a request body: JSON only, uncompressed, bounded in size, time and pace, and counted while it is held.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout};

use super::early::ModelScan;
use super::error::ApiError;
use super::memory::HeldBytes;
use crate::config::{GatewayConfig, ms};

/// How long a body may take before its pace counts: a handshake on a bad line, or a slow start.
const PACE_AFTER: Duration = Duration::from_secs(10);

/// Refuses by header what need not be read.
pub(crate) fn check_headers(headers: &HeaderMap, config: &GatewayConfig) -> Result<(), ApiError> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.any(|it| !it.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity")) {
        return Err(ApiError::UnsupportedMedia(
            "Compressed request bodies are not accepted; send it without Content-Encoding",
        ));
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let media = content_type.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        return Err(ApiError::UnsupportedMedia(
            "The request body must be JSON; send it with `Content-Type: application/json`",
        ));
    }
    if announced(headers).is_some_and(|it| it > config.body_bytes_max as u64) {
        return Err(ApiError::TooLarge { max: config.body_bytes_max });
    }
    Ok(())
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The whole body. `held` counts it; `known` is asked about the model as soon as its name has come, where the body
/// has not ended by then.
pub(crate) async fn read(
    mut body: Body,
    held: &mut HeldBytes,
    config: &GatewayConfig,
    known: impl Fn(&str) -> Result<(), ApiError>,
) -> Result<Bytes, ApiError> {
    let begun = Instant::now();
    let deadline = begun + ms(config.body_timeout_ms);
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let mut scan = ModelScan::default();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let pause =
            left.min(ms(config.body_idle_timeout_ms)).min(patience(held.bytes(), begun.elapsed(), config));
        let frame = timeout(pause, body.frame()).await.map_err(|_elapsed| ApiError::BodyTimeout)?;
        let data = match frame {
            None => break,
            Some(Err(_)) => return Err(ApiError::BodyCut),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        if first.len() + all.len() + data.len() > config.body_bytes_max {
            return Err(ApiError::TooLarge { max: config.body_bytes_max });
        }
        held.grow(data.len(), config.bytes_max)?;
        if !body.is_end_stream()
            && let Some(model) = scan.push(&data)
        {
            known(&model)?;
        }
        // Most bodies come in one piece and need not be copied.
        if first.is_empty() && all.is_empty() {
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

/// How long a body of which `bytes` have come `elapsed` after its beginning may take for its next piece, to keep the
/// least pace.
fn patience(bytes: u64, elapsed: Duration, config: &GatewayConfig) -> Duration {
    if config.body_bytes_per_sec_min == 0 {
        return Duration::MAX;
    }
    let paid_for = bytes.saturating_mul(1_000) / u64::from(config.body_bytes_per_sec_min);
    (PACE_AFTER + Duration::from_millis(paid_for)).saturating_sub(elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_that_trickles_runs_out_of_patience() {
        let config = GatewayConfig { body_bytes_per_sec_min: 1_000, ..GatewayConfig::default() };
        let secs = Duration::from_secs;
        assert_eq!(patience(0, secs(0), &config), secs(10));
        assert_eq!(patience(1, secs(10), &config), Duration::from_millis(1));
        assert_eq!(patience(5_000, secs(12), &config), secs(3));
        assert_eq!(patience(5_000, secs(16), &config), secs(0));
        let none = GatewayConfig { body_bytes_per_sec_min: 0, ..GatewayConfig::default() };
        assert!(patience(0, secs(1_000), &none) > secs(3_600));
    }
}

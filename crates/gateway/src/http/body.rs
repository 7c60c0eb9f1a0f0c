//! Reads a request body: JSON only, uncompressed, bounded in size and time, and counted while it is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout};

use super::error::ApiError;
use crate::config::{GatewayConfig, ms};

/// Memory that all request bodies share.
#[derive(Debug, Default)]
pub(crate) struct BodyMemory {
    bytes: AtomicU64,
}

/// A share of it; given back when dropped.
#[derive(Debug)]
pub(crate) struct HeldBytes {
    memory: Arc<BodyMemory>,
    bytes: u64,
}

impl HeldBytes {
    /// How many.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    #[cfg(test)]
    pub(crate) fn of(bytes: u64) -> Self {
        let memory = BodyMemory { bytes: AtomicU64::new(bytes) };
        Self { memory: Arc::new(memory), bytes }
    }

    fn grow(&mut self, more: usize, max: u64) -> Result<(), ApiError> {
        let more = more as u64;
        if self.memory.bytes.fetch_add(more, Ordering::Relaxed).saturating_add(more) > max {
            self.memory.bytes.fetch_sub(more, Ordering::Relaxed);
            return Err(ApiError::MemoryFull);
        }
        self.bytes += more;
        Ok(())
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.memory.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Refuses by header what need not be read.
pub(crate) fn check_headers(headers: &HeaderMap, config: &GatewayConfig) -> Result<(), ApiError> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|it| it != "identity") {
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
    let length = headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|it| it > config.body_bytes_max as u64) {
        return Err(ApiError::TooLarge { max: config.body_bytes_max });
    }
    Ok(())
}

/// The whole body, with the guard that counts it.
pub(crate) async fn read(
    mut body: Body,
    memory: &Arc<BodyMemory>,
    config: &GatewayConfig,
) -> Result<(Bytes, HeldBytes), ApiError> {
    let mut held = HeldBytes { memory: memory.clone(), bytes: 0 };
    let deadline = Instant::now() + ms(config.body_timeout_ms);
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let frame = timeout(left.min(ms(config.body_idle_timeout_ms)), body.frame())
            .await
            .map_err(|_elapsed| ApiError::BodyTimeout)?;
        let data = match frame {
            None => break,
            Some(Err(_)) => return Err(ApiError::BodyCut),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        if first.len() + all.len() + data.len() > config.body_bytes_max {
            return Err(ApiError::TooLarge { max: config.body_bytes_max });
        }
        held.grow(data.len(), config.bytes_max)?;
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
    Ok((if all.is_empty() { first } else { all.freeze() }, held))
}

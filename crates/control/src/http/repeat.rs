//! By what a create is known when it comes again: the client's `Idempotency-Key`, or a mark of its own.

use dedi_domain::{KeyId, Timestamp};
use http::HeaderMap;
use sha2::{Digest, Sha256};

use super::error::ApiError;
use crate::config::ControlConfig;
use crate::store::Idempotency;

/// Longest idempotency key, in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Since when a lost answer counts.
pub(super) fn window(config: &ControlConfig, now: Timestamp) -> Timestamp {
    ago(now, u64::from(config.lost_reply_window_secs))
}

/// `None` where the operator wants each create to be one of its own.
pub(super) fn known_by(
    config: &ControlConfig,
    headers: &HeaderMap,
    caller: &KeyId,
    body: &[u8],
    zone: Option<&str>,
    now: Timestamp,
) -> Result<Option<Idempotency>, ApiError> {
    if let Some(key) = idempotency_key(headers)? {
        let since = ago(now, u64::from(config.idempotency_kept_hours).saturating_mul(3_600));
        return Ok(Some(Idempotency {
            key,
            body_hash: Sha256::digest(body).into(),
            since,
            is_ours: false,
            instead_of: None,
        }));
    }
    if config.lost_reply_window_secs == 0 {
        return Ok(None);
    }
    let hash = Sha256::new().chain_update(body).chain_update([0]).chain_update(zone.unwrap_or_default());
    let body_hash: [u8; 32] = hash.finalize().into();
    let digits: String = body_hash.iter().map(|it| format!("{it:02x}")).collect();
    // It lies beside the clients' keys, and begins as none of theirs can.
    let key = format!("\u{1}{caller} {digits}");
    Ok(Some(Idempotency { key, body_hash, since: window(config, now), is_ours: true, instead_of: None }))
}

/// Whether the client says that it has sent this before. It is believed even when the answer is known to have been
/// written: a proxy may have swallowed it.
pub(super) fn is_retry(headers: &HeaderMap) -> bool {
    let count = headers.get("x-stainless-retry-count").and_then(|it| it.to_str().ok());
    count.and_then(|it| it.parse::<u32>().ok()).is_some_and(|it| it > 0)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let fits =
        |it: &&str| (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&it.len()) && !it.chars().any(char::is_control);
    match value.to_str().ok().filter(fits) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(ApiError::field(
            "Idempotency-Key",
            format!("Idempotency-Key must be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters"),
        )),
    }
}

fn ago(now: Timestamp, secs: u64) -> Timestamp {
    Timestamp(now.0.saturating_sub_unsigned(secs.saturating_mul(1_000)))
}

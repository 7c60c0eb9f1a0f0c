//! By what a create is known when it comes again: the client's own key, or a mark of ours.

use dedi_domain::{KeyId, Timestamp};
use sha2::{Digest, Sha256};

use crate::config::ControlConfig;
use crate::store::Idempotency;

/// What a create says of being a repetition.
pub(crate) struct Repeat {
    /// The client's own key: the same one is the same create, as long as it is remembered.
    pub(crate) key: Option<String>,
    /// SHA-256 of the request's body.
    pub(crate) body: [u8; 32],
    /// SHA-256 of all that makes up the request.
    pub(crate) whole: [u8; 32],
    /// Whether the client says that it has sent this before. It is believed even when the answer is known to have been
    /// written: a proxy may have swallowed it.
    pub(crate) is_retry: bool,
}

impl Repeat {
    pub(crate) fn new(key: Option<String>, body: &[u8], beside_body: &str, is_retry: bool) -> Self {
        let whole = Sha256::new().chain_update(body).chain_update([0]).chain_update(beside_body);
        Self { key, body: Sha256::digest(body).into(), whole: whole.finalize().into(), is_retry }
    }

    /// `None` where the operator wants each create to be one of its own.
    pub(super) fn known_by(
        &self,
        config: &ControlConfig,
        caller: &KeyId,
        now: Timestamp,
    ) -> Option<Idempotency> {
        if let Some(key) = self.key.clone() {
            let since = ago(now, u64::from(config.idempotency_kept_hours).saturating_mul(3_600));
            return Some(Idempotency { key, body_hash: self.body, since, is_ours: false, instead_of: None });
        }
        if config.lost_reply_window_secs == 0 {
            return None;
        }
        let digits: String = self.whole.iter().map(|it| format!("{it:02x}")).collect();
        // It lies beside the clients' keys, and begins as none of theirs can.
        let key = format!("\u{1}{caller} {digits}");
        Some(Idempotency {
            key,
            body_hash: self.whole,
            since: window(config, now),
            is_ours: true,
            instead_of: None,
        })
    }
}

/// Since when a lost answer counts.
pub(super) fn window(config: &ControlConfig, now: Timestamp) -> Timestamp {
    ago(now, u64::from(config.lost_reply_window_secs))
}

fn ago(now: Timestamp, secs: u64) -> Timestamp {
    Timestamp(now.0.saturating_sub_unsigned(secs.saturating_mul(1_000)))
}

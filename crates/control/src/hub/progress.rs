//! How far a pull is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Bytes that are here and bytes there will be, as others may look at them.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(super) done: AtomicU64,
    /// 0 is not known yet.
    pub(super) total: AtomicU64,
    /// Bytes that a next try need not fetch again.
    pub(super) kept: AtomicU64,
    /// What the hub answered that asked to wait, and until when.
    held_off: Mutex<Option<(String, Instant)>>,
}

impl Progress {
    pub(super) fn read(&self) -> (u64, Option<u64>) {
        let total = self.total.load(Ordering::Relaxed);
        (self.done.load(Ordering::Relaxed), (total > 0).then_some(total))
    }

    pub(super) fn hold_off(&self, why: Option<(String, Instant)>) {
        *self.held_off.lock() = why;
    }

    /// Why the hub is not asked now, and how much longer.
    pub(super) fn held_off(&self) -> Option<(String, Duration)> {
        let held = self.held_off.lock().clone();
        held.map(|(what, until)| (what, until.saturating_duration_since(Instant::now())))
    }
}

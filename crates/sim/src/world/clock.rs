//! The clock a control plane gives to the decision. Its contract, which the real one must keep:
//!
//! - it follows the monotonic clock while the process runs, so that setting the wall clock changes no wait;
//! - it never reads earlier than the newest stamp in the store: at start, and when another control plane has
//!   written a later one, it begins there and runs on;
//! - stamps that the runtime and the gateway give are ages, put on this clock by whoever asks.

use dedi_domain::Timestamp;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    base: i64,
    anchor: i64,
    /// How far the host's wall clock is off.
    pub(crate) wall_offset: i64,
    pub(crate) is_raw: bool,
}

impl Clock {
    pub(crate) fn start(true_now: i64, wall_offset: i64, is_raw: bool) -> Self {
        Self { base: true_now + wall_offset, anchor: true_now, wall_offset, is_raw }
    }

    /// How far it is ahead of the true time.
    pub(crate) fn ahead(&self) -> i64 {
        self.base - self.anchor
    }

    pub(crate) fn read(&mut self, true_now: i64, newest: Timestamp) -> Timestamp {
        if self.is_raw {
            return Timestamp(true_now + self.wall_offset);
        }
        let steady = self.base + (true_now - self.anchor);
        if newest.0 > steady {
            self.base = newest.0;
            self.anchor = true_now;
            return newest;
        }
        Timestamp(steady)
    }
}

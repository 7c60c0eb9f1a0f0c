//! Which replicas have failed so often lately that others should get the requests, which are stuck, and how many
//! retries the whole gateway may make. Pure; time is an argument.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use dedi_domain::Timestamp;

/// Failures of one replica.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Health {
    failures_in_row: u32,
    ejections_in_row: u32,
    ejected_until: Timestamp,
}

impl Health {
    /// An answer began.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// It failed; true when that ejects it.
    pub(crate) fn failed(&mut self, now: Timestamp, failures_max: u32, ejection: Duration) -> bool {
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        if self.failures_in_row < failures_max.max(1) {
            return false;
        }
        self.failures_in_row = 0;
        self.ejections_in_row = self.ejections_in_row.saturating_add(1);
        self.ejected_until = now.plus(ejection.saturating_mul(self.ejections_in_row));
        true
    }

    /// Whether others should be asked instead.
    pub(crate) fn is_ejected(&self, now: Timestamp) -> bool {
        now < self.ejected_until
    }
}

/// Whether a replica sends anything to anybody. An engine that is slow or busy sends something to someone; one
/// that leaves request after request without a byte, and has none for others either, is stuck.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    n_received: AtomicU64,
    unanswered: AtomicU32,
}

/// The number of chunks received when a wait began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait(u64);

impl Silence {
    /// Part of a response arrived.
    pub(crate) fn received(&self) {
        self.n_received.fetch_add(1, Ordering::SeqCst);
        self.unanswered.store(0, Ordering::SeqCst);
    }

    pub(crate) fn wait(&self) -> Wait {
        Wait(self.n_received.load(Ordering::SeqCst))
    }

    /// A wait ran out of time. It counts if nobody was sent anything meanwhile.
    pub(crate) fn unanswered_since(&self, wait: Wait) {
        if self.n_received.load(Ordering::SeqCst) == wait.0 {
            self.unanswered.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Timed-out waits since anything was received.
    pub(crate) fn unanswered(&self) -> u32 {
        self.unanswered.load(Ordering::SeqCst)
    }
}

/// Retries allowed: a share of the requests, and a few each second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryBudget {
    percent: u32,
    per_sec: u32,
    /// In hundredths of a retry.
    credit: u64,
    at: Timestamp,
}

impl RetryBudget {
    pub(crate) fn new(percent: u32, per_sec: u32, now: Timestamp) -> Self {
        Self { percent, per_sec, credit: u64::from(per_sec) * 100, at: now }
    }

    /// One more request came.
    pub(crate) fn request(&mut self) {
        self.credit = self.credit.saturating_add(u64::from(self.percent)).min(self.credit_max());
    }

    /// Takes one retry out, if there is one.
    pub(crate) fn take(&mut self, now: Timestamp) -> bool {
        let millis = u64::try_from(now.since(self.at).as_millis()).unwrap_or(0);
        self.at = now;
        let earned = millis.saturating_mul(u64::from(self.per_sec)) / 10;
        self.credit = self.credit.saturating_add(earned).min(self.credit_max());
        if self.credit < 100 {
            return false;
        }
        self.credit -= 100;
        true
    }

    /// Two seconds' worth: what was not needed in quiet times does not feed a storm.
    fn credit_max(&self) -> u64 {
        u64::from(self.per_sec).max(1) * 200
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ejection_comes_with_the_fifth_failure_in_a_row_and_grows() {
        let mut health = Health::default();
        let mut fail = |now| health.failed(Timestamp(now), 5, Duration::from_secs(10));
        assert!((0..4).all(|_| !fail(0)));
        assert!(fail(0));
        assert!((0..4).all(|_| !fail(10_000)));
        assert!(fail(10_000));
        assert!(health.is_ejected(Timestamp(29_999)));
        assert!(!health.is_ejected(Timestamp(30_000)));
        health.succeeded();
        assert!(!health.is_ejected(Timestamp(10_001)));
    }

    #[test]
    fn stuck_counts_a_timed_out_wait_only_if_nobody_was_sent_anything() {
        let silence = Silence::default();
        let (first, second) = (silence.wait(), silence.wait());
        silence.received();
        silence.unanswered_since(first);
        assert_eq!(silence.unanswered(), 0, "slow, not stuck");
        let waits = [silence.wait(), silence.wait(), silence.wait()];
        waits.into_iter().for_each(|it| silence.unanswered_since(it));
        silence.unanswered_since(second);
        assert_eq!(silence.unanswered(), 3);
        silence.received();
        assert_eq!(silence.unanswered(), 0);
    }

    #[test]
    fn retry_budget_in_a_storm_is_a_fifth_and_ten_a_second() {
        let mut budget = RetryBudget::new(20, 10, Timestamp(0));
        let mut retries = 0;
        for n in 0..10_000_i64 {
            budget.request();
            retries += u32::from(budget.take(Timestamp(n))); // 1,000 requests a second for 10 s
        }
        assert!((2_000..=2_120).contains(&retries), "{retries}");
    }
}

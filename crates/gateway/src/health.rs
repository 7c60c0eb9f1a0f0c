//! Which replicas have failed so often lately that others should get the requests, and how many retries the
//! whole gateway may make. Pure; time is an argument.

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
    fn the_fifth_failure_in_a_row_ejects_and_each_ejection_is_longer() {
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
    fn a_storm_gets_a_fifth_and_ten_a_second() {
        let mut budget = RetryBudget::new(20, 10, Timestamp(0));
        let mut retries = 0;
        for n in 0..10_000_i64 {
            budget.request();
            retries += u32::from(budget.take(Timestamp(n))); // 1,000 requests a second for 10 s
        }
        assert!((2_000..=2_120).contains(&retries), "{retries}");
    }
}

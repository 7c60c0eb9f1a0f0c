//! How long the device has been at its current step.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The device's current step: when it began, by a clock that never goes back.
#[derive(Debug)]
pub struct Step {
    origin: Instant,
    /// Milliseconds after the origin, plus one; 0 while no step is under way.
    began: AtomicU64,
}

impl Default for Step {
    fn default() -> Self {
        Self { origin: Instant::now(), began: AtomicU64::new(0) }
    }
}

impl Step {
    /// One begins now, and is over when the guard goes.
    pub fn begin(&self) -> Stepping<'_> {
        self.began.store(self.now() + 1, Ordering::Relaxed);
        Stepping(self)
    }

    /// How long the current one has taken so far; zero if there is none.
    pub fn elapsed(&self) -> Duration {
        match self.began.load(Ordering::Relaxed).checked_sub(1) {
            Some(began) => Duration::from_millis(self.now().saturating_sub(began)),
            None => Duration::ZERO,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

/// A step that is under way.
#[derive(Debug)]
pub struct Stepping<'a>(&'a Step);

impl Drop for Stepping<'_> {
    fn drop(&mut self) {
        self.0.began.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_takes_time_until_it_is_over() {
        let step = Step::default();
        assert_eq!(step.elapsed(), Duration::ZERO);
        let stepping = step.begin();
        std::thread::sleep(Duration::from_millis(20));
        assert!(step.elapsed() >= Duration::from_millis(15));
        drop(stepping);
        assert_eq!(step.elapsed(), Duration::ZERO);
    }
}

//! Counters and gauges of the engine, and their Prometheus text.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Sequences that hold a slot.
    pub running: Gauge,
    /// Requests that wait for one.
    pub waiting: Gauge,
    /// Prompt tokens decoded.
    pub prompt_tokens: Counter,
    /// Prompt tokens found in a slot's cache.
    pub cached_tokens: Counter,
    /// Tokens generated.
    pub generated_tokens: Counter,
    /// Sequences that ended by themselves.
    pub finished: Counter,
    /// Sequences whose client went away.
    pub cancelled: Counter,
    /// Sequences that failed.
    pub failed: Counter,
    /// Calls of the library's decode.
    pub decodes: Counter,
    /// The step that the device is at.
    pub step: Step,
}

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

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `more`.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets it.
    pub fn set(&self, to: u64) {
        self.0.store(to, Ordering::Relaxed);
    }

    /// One more.
    pub fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One fewer.
    pub fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metrics {
    /// The text Prometheus reads.
    #[must_use]
    pub fn prometheus(&self, slots: u32) -> String {
        let mut text = String::new();
        let mut put = |name: &str, kind: &str, help: &str, value: u64| {
            let _infallible = writeln!(
                text,
                "# HELP dedi_engine_{name} {help}\n# TYPE dedi_engine_{name} {kind}\ndedi_engine_{name} {value}"
            );
        };
        put("slots", "gauge", "Requests that can be decoded at the same time.", u64::from(slots));
        put("requests_running", "gauge", "Sequences that hold a slot.", self.running.get());
        put("requests_waiting", "gauge", "Requests that wait for a slot.", self.waiting.get());
        put("prompt_tokens_total", "counter", "Prompt tokens decoded.", self.prompt_tokens.get());
        put("cached_tokens_total", "counter", "Prompt tokens found in a cache.", self.cached_tokens.get());
        put("generated_tokens_total", "counter", "Tokens generated.", self.generated_tokens.get());
        put("decodes_total", "counter", "Batches decoded.", self.decodes.get());
        put(
            "sequences_finished_total",
            "counter",
            "Sequences that ended by themselves.",
            self.finished.get(),
        );
        put(
            "sequences_cancelled_total",
            "counter",
            "Sequences whose client went away.",
            self.cancelled.get(),
        );
        put("sequences_failed_total", "counter", "Sequences that failed.", self.failed.get());
        text
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

//! Many lives on several threads, until one breaks a rule.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::bug::Bug;
use crate::trace::Violation;
use crate::{Life, live};

/// Lives that a thread takes at a time.
const CHUNK: u64 = 64;

/// A seed that broke a rule.
#[derive(Clone, Debug)]
pub struct Found {
    /// Seed that repeats the life.
    pub seed: u64,
    /// What it broke.
    pub violation: Violation,
}

/// How a sweep went.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// Lives lived.
    pub n_lives: u64,
    /// Sums over them.
    pub life: Life,
    /// The lowest seed that was found to break a rule.
    pub found: Option<Found>,
}

/// Lives every seed of `seeds`, or stops soon after the first that breaks a rule.
pub fn sweep(seeds: Range<u64>, n_threads: usize, bug: Option<Bug>) -> Sweep {
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new(Sweep::default());
    std::thread::scope(|scope| {
        for _ in 0..n_threads.max(1) {
            scope.spawn(|| {
                let own = work(&next, seeds.end, bug);
                let mut total = total.lock();
                total.n_lives += own.n_lives;
                total.life.n_decisions += own.life.n_decisions;
                total.life.n_actions += own.life.n_actions;
                let is_lower = own
                    .found
                    .as_ref()
                    .is_some_and(|new| total.found.as_ref().is_none_or(|old| new.seed < old.seed));
                if is_lower {
                    total.found = own.found;
                }
            });
        }
    });
    total.into_inner()
}

fn work(next: &AtomicU64, end: u64, bug: Option<Bug>) -> Sweep {
    let mut own = Sweep::default();
    loop {
        let from = next.fetch_add(CHUNK, Ordering::Relaxed);
        if from >= end {
            return own;
        }
        for seed in from..(from + CHUNK).min(end) {
            own.n_lives += 1;
            match live(seed, bug) {
                Ok(life) => {
                    own.life.n_decisions += life.n_decisions;
                    own.life.n_actions += life.n_actions;
                }
                Err(violation) => {
                    own.found = Some(Found { seed, violation: *violation });
                    next.fetch_max(end, Ordering::Relaxed);
                    return own;
                }
            }
        }
    }
}

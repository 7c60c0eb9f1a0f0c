//! The gate: many lives break no rule, and each planted bug is seen.

#![expect(clippy::panic, reason = "helpers end the test like the test itself does")]

use std::num::NonZero;
use std::thread::available_parallelism;

use dedi_sim::{Bug, live, sweep, tell};

/// Lives in the short form; `make sim SEEDS=…` lives more.
const N_SEEDS: u64 = 100_000;
/// Lives within which a planted bug must show. The deepest shows after some 32,000.
const N_SEEDS_FOR_BUG: u64 = 50_000;
/// Bugs there must at least be.
const N_BUGS_MIN: usize = 25;

fn n_threads() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

fn end_with_trace(seed: u64, what: &str) -> ! {
    let (_, lines) = tell(seed, None);
    panic!("{}\nseed {seed} breaks {what}; add it to seeds.txt", lines.join("\n"));
}

#[test]
fn many_lives_break_no_rule() {
    let sweep = sweep(0..N_SEEDS, n_threads(), None);
    if let Some(found) = sweep.found {
        end_with_trace(found.seed, &found.violation.to_string());
    }
    assert_eq!(sweep.n_lives, N_SEEDS);
    assert!(sweep.life.n_actions > N_SEEDS, "lives in which nothing happens show nothing");
}

#[test]
fn seeds_that_once_broke_a_rule_hold() {
    let mut n = 0;
    for line in include_str!("seeds.txt").lines().filter(|it| !it.starts_with('#')) {
        let seed: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
        if let Err(violation) = live(seed, None) {
            end_with_trace(seed, &violation.to_string());
        }
        n += 1;
    }
    assert!(n > 0, "seeds.txt is read");
}

#[test]
fn each_planted_bug_is_seen() {
    assert!(Bug::ALL.len() >= N_BUGS_MIN);
    let missed: Vec<&str> = Bug::ALL
        .iter()
        .filter(|it| sweep(0..N_SEEDS_FOR_BUG, n_threads(), Some(**it)).found.is_none())
        .map(|it| it.name())
        .collect();
    assert!(missed.is_empty(), "not seen: {}", missed.join(", "));
}

#[test]
fn a_life_can_be_told_again() {
    let bug = Some(Bug::SkipInFlight);
    let seed = sweep(0..N_SEEDS_FOR_BUG, 1, bug).found.unwrap().seed;
    let (once, again) = (tell(seed, bug), tell(seed, bug));
    assert!(once.0.is_err());
    assert!(!once.1.is_empty());
    assert_eq!(once.1, again.1);
}

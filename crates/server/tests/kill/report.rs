//! What the cases came to, in one table.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::audit::{Finding, Wrong};

/// Sums of all planes.
pub(crate) struct Report {
    began: Instant,
    sums: Mutex<Sums>,
}

#[derive(Default)]
struct Sums {
    rows: BTreeMap<String, Row>,
    n_reused: usize,
    n_forged: usize,
    /// Cases with a finding, as sentences.
    found: Vec<String>,
}

#[derive(Clone, Default)]
struct Row {
    n_cases: usize,
    n_hit: usize,
    wrong: BTreeMap<Wrong, usize>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), sums: Mutex::default() }
    }

    /// One case of `kind`.
    pub(crate) fn case(&self, kind: &str, hit: bool) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let row = sums.rows.entry(kind.to_owned()).or_default();
        row.n_cases += 1;
        row.n_hit += usize::from(hit);
    }

    /// What went wrong in one.
    pub(crate) fn wrong(&self, kind: &str, case: &str, found: &[Finding], log: &str) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let row = sums.rows.entry(kind.to_owned()).or_default();
        for (wrong, _) in found {
            *row.wrong.entry(*wrong).or_default() += 1;
        }
        let said: Vec<String> = found.iter().map(|(wrong, what)| format!("  {wrong:?}: {what}")).collect();
        let text = format!("{kind} {case}\n{}\n{log}", said.join("\n"));
        eprintln!("WRONG {text}");
        sums.found.push(text);
    }

    pub(crate) fn strangers(&self, n_reused: usize, n_forged: usize) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.n_reused += n_reused;
        sums.n_forged += n_forged;
    }

    /// Prints the table; the number of cases in which something went wrong.
    pub(crate) fn print(&self) -> usize {
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let heads: Vec<String> = Wrong::ALL.iter().map(|it| format!("{it:?}").to_lowercase()).collect();
        println!("{:<12} {:>6} {:>6} {}", "kill during", "cases", "hit", columns(&heads));
        let mut all = Row::default();
        for (kind, row) in &sums.rows {
            print_row(kind, row);
            all.n_cases += row.n_cases;
            all.n_hit += row.n_hit;
            for (wrong, n) in &row.wrong {
                *all.wrong.entry(*wrong).or_default() += n;
            }
        }
        print_row("all", &all);
        println!(
            "{:.0} s; strangers under {} reused and {} forged pids",
            self.began.elapsed().as_secs_f64(),
            sums.n_reused,
            sums.n_forged
        );
        sums.found.len()
    }
}

fn print_row(kind: &str, row: &Row) {
    let counts: Vec<String> =
        Wrong::ALL.iter().map(|it| row.wrong.get(it).copied().unwrap_or(0).to_string()).collect();
    println!("{kind:<12} {:>6} {:>6} {}", row.n_cases, row.n_hit, columns(&counts));
}

fn columns(words: &[String]) -> String {
    words.iter().map(|it| format!("{it:>9}")).collect::<Vec<_>>().join(" ")
}

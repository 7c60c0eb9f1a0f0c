//! What the cases came to, in one table.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

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
    longest: Duration,
    wrong: BTreeMap<Wrong, usize>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), sums: Mutex::default() }
    }

    /// One case of `kind`, and how long it took.
    pub(crate) fn case(&self, kind: &str, hit: bool, took: Duration) {
        let mut sums = self.sums.lock();
        let row = sums.rows.entry(kind.to_owned()).or_default();
        row.n_cases += 1;
        row.n_hit += usize::from(hit);
        row.longest = row.longest.max(took);
    }

    /// What went wrong in one.
    pub(crate) fn wrong(&self, kind: &str, case: &str, found: &[Finding], log: &str) {
        let mut sums = self.sums.lock();
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
        let mut sums = self.sums.lock();
        sums.n_reused += n_reused;
        sums.n_forged += n_forged;
    }

    /// Prints the table; the number of cases in which something went wrong. A sweep that hits nobody shows nothing,
    /// so that is wrong too.
    pub(crate) fn print(&self) -> usize {
        let sums = self.sums.lock();
        let heads: Vec<String> = Wrong::ALL.iter().map(|it| format!("{it:?}").to_lowercase()).collect();
        println!("{:<12} {:>6} {:>6} {:>9} {}", "kill during", "cases", "hit", "longest", columns(&heads));
        let mut all = Row::default();
        for (kind, row) in &sums.rows {
            print_row(kind, row);
            all.n_cases += row.n_cases;
            all.n_hit += row.n_hit;
            all.longest = all.longest.max(row.longest);
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
        let missed = sums.missed(&all);
        for it in &missed {
            println!("MISSED {it}");
        }
        sums.found.len() + missed.len()
    }
}

/// Percent of the cases that must hit somebody, in all and of each kind with enough cases to tell. An operation may be
/// over before the n-th time at a place, and a server that is refused is no death.
const HIT_PERCENT_MIN: usize = 70;
const KIND_HIT_PERCENT_MIN: usize = 30;
const CASES_TO_TELL: usize = 5;
const NO_DEATH: [&str; 2] = ["2nd server", "end"];

impl Sums {
    /// What was aimed at and hit too seldom.
    fn missed(&self, all: &Row) -> Vec<String> {
        let share = |row: &Row| row.n_hit * 100 / row.n_cases.max(1);
        let mut missed = Vec::new();
        if all.n_cases >= CASES_TO_TELL && share(all) < HIT_PERCENT_MIN {
            missed.push(format!("{} % of all cases hit somebody, not {HIT_PERCENT_MIN} %", share(all)));
        }
        let kinds = self
            .rows
            .iter()
            .filter(|(kind, row)| row.n_cases >= CASES_TO_TELL && !NO_DEATH.contains(&kind.as_str()));
        for (kind, row) in kinds.filter(|(_, row)| share(row) < KIND_HIT_PERCENT_MIN) {
            missed.push(format!("{} % of `{kind}` hit somebody, not {KIND_HIT_PERCENT_MIN} %", share(row)));
        }
        let n_reuses = self.rows.get("pid reuse").map_or(0, |it| it.n_cases);
        if n_reuses >= CASES_TO_TELL && self.n_reused + self.n_forged == 0 {
            missed.push("no stranger was ever put under the pid of a dead process".to_owned());
        }
        missed
    }
}

fn print_row(kind: &str, row: &Row) {
    let counts: Vec<String> =
        Wrong::ALL.iter().map(|it| row.wrong.get(it).copied().unwrap_or(0).to_string()).collect();
    let longest = format!("{:.1} s", row.longest.as_secs_f64());
    println!("{kind:<12} {:>6} {:>6} {longest:>9} {}", row.n_cases, row.n_hit, columns(&counts));
}

fn columns(words: &[String]) -> String {
    words.iter().map(|it| format!("{it:>9}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_sweep_that_hits_too_few_or_puts_no_stranger_under_a_pid_is_wrong() {
    let report = Report::new();
    for n in 0..20 {
        report.case("stop", true, Duration::ZERO);
        report.case("start", n < 2, Duration::ZERO);
        report.case("pid reuse", true, Duration::ZERO);
        report.case("2nd server", true, Duration::ZERO);
    }
    assert_eq!(report.print(), 2, "starts that hit nobody, and no stranger");
    report.strangers(1, 0);
    assert_eq!(report.print(), 1);
    (0..100).for_each(|_| report.case("start", false, Duration::ZERO));
    assert_eq!(report.print(), 2, "and too few of all");
}

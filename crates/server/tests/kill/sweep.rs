//! Runs cases on several planes at a time and adds up what they came to.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::audit::Finding;
use crate::cases::{Case, Traced};
use crate::dice::Dice;
use crate::life::Life;
use crate::report::Report;

/// The cases that are left, and the sums so far.
pub(crate) struct Sweep {
    cases: Mutex<VecDeque<Case>>,
    report: Report,
}

impl Sweep {
    /// `n` cases, the same for the same seed.
    pub(crate) fn new(n: usize, seed: u64) -> Self {
        let report = Report::new();
        let cases = Traced::new().cases(n, &mut Dice::new(seed));
        Self { cases: Mutex::new(cases.into()), report }
    }

    /// Runs them on so many planes at a time; the number of cases that went wrong.
    pub(crate) fn run(self, n_planes: usize) -> usize {
        std::thread::scope(|scope| {
            for _ in 0..n_planes {
                scope.spawn(|| self.work());
            }
        });
        self.report.print()
    }

    fn next(&self) -> Option<Case> {
        self.cases.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// A plane that something went wrong on is left as it is, and the next case gets a new one.
    fn work(&self) {
        let mut life: Option<Life> = None;
        while let Some(case) = self.next() {
            let mut now = match life.take().map_or_else(|| Life::begin(false), Ok) {
                Ok(it) => it,
                Err(found) => {
                    self.report.wrong("begin", "", &found, "");
                    continue;
                }
            };
            let kind = case.kind();
            match case.run(&mut now) {
                Ok(killed) => {
                    self.report.case(&kind, killed.hit);
                    life = Some(now);
                }
                Err(found) => {
                    self.report.case(&kind, true);
                    self.give_up(&kind, &format!("{case:?}"), &found, now);
                }
            }
        }
        let Some(mut life) = life else { return };
        let (n_reused, n_forged) = (life.auditor.strangers.n_reused, life.auditor.strangers.n_forged);
        self.report.strangers(n_reused, n_forged);
        let ended = life.end();
        self.report.case("end", false);
        if let Err(found) = ended {
            self.give_up("end", "", &found, life);
        }
    }

    fn give_up(&self, kind: &str, case: &str, found: &[Finding], mut life: Life) {
        let log = life.plane.log_tail();
        let kept = life.plane.keep();
        self.report.wrong(kind, &format!("{case} in {}", kept.display()), found, &log);
    }
}

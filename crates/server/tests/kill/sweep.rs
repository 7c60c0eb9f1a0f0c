//! Runs cases on several planes at a time and adds up what they came to.

use std::collections::VecDeque;
use std::time::Instant;

use parking_lot::Mutex;

use crate::audit::Finding;
use crate::cases::{Case, Traced};
use crate::dice::Dice;
use crate::life::Life;
use crate::report::Report;

/// Cases on one plane. Each leaves rows behind, and every snapshot reads all of them.
const CASES_A_LIFE: usize = 100;

/// The cases that are left, and the sums so far.
pub(crate) struct Sweep {
    cases: Mutex<VecDeque<Case>>,
    report: Report,
    begun: Instant,
}

impl Sweep {
    /// `n` cases, the same for the same seed.
    pub(crate) fn new(n: usize, seed: u64) -> Self {
        let report = Report::new();
        let cases = Traced::new().cases(n, &mut Dice::new(seed));
        Self { cases: Mutex::new(cases.into()), report, begun: Instant::now() }
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

    /// The next case. Says now and then how many are left: a long sweep is to be told from one that hangs.
    fn next(&self) -> Option<Case> {
        let mut cases = self.cases.lock();
        let next = cases.pop_front();
        if next.is_some() && cases.len().is_multiple_of(100) {
            println!("{} s: {} cases left", self.begun.elapsed().as_secs(), cases.len());
        }
        next
    }

    /// A plane that something went wrong on is left as it is, and the next case gets a new one.
    fn work(&self) {
        let mut life = None;
        while let Some(case) = self.next() {
            let Some((mut now, n_cases)) = self.go_on(life.take()) else { continue };
            let kind = case.kind();
            let began = Instant::now();
            let ran = case.run(&mut now);
            self.report.case(&kind, ran.as_ref().map_or(true, |it| it.hit), began.elapsed());
            match ran {
                Ok(_) => life = Some((now, n_cases + 1)),
                Err(found) => self.give_up(&kind, &format!("{case:?}"), &found, now),
            }
        }
        if let Some((it, _)) = life {
            self.end(it);
        }
    }

    /// The same plane with the number of its cases, or a new one after many.
    fn go_on(&self, life: Option<(Life, usize)>) -> Option<(Life, usize)> {
        match life {
            Some((it, n_cases)) if n_cases < CASES_A_LIFE => return Some((it, n_cases)),
            Some((it, _)) => self.end(it),
            None => {}
        }
        let begun = Life::begin(false).inspect_err(|found| self.report.wrong("begin", "", found, ""));
        begun.ok().map(|it| (it, 0))
    }

    /// The run of a plane is over: nothing may be left of it.
    fn end(&self, mut life: Life) {
        let began = Instant::now();
        let (n_reused, n_forged) = (life.auditor.strangers.n_reused, life.auditor.strangers.n_forged);
        self.report.strangers(n_reused, n_forged);
        let ended = life.end();
        self.report.case("end", false, began.elapsed());
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

//! Two servers on one folder: one that takes over and dies, or whose predecessor does, and one that has no
//! business there.

use std::time::{Duration, Instant};

use crate::audit::{Finding, Wrong};
use crate::dice::Dice;
use crate::life::{Failpoint, Killed, Life, stuck};
use crate::operation::Operation;
use crate::plane::ended;

/// Longest a takeover may take. It takes a tenth of a second.
const TAKEOVER_MAX: Duration = Duration::from_secs(10);

/// What a server that is refused the folder exits with.
const EXIT_HELD: i32 = 3;

impl Life {
    /// The places that an undisturbed takeover passes, on both sides.
    pub(crate) fn trace_takeover(&mut self) -> Result<Vec<String>, Vec<Finding>> {
        self.prepare(Operation::Stop)?;
        self.plane.take_trace();
        self.plane.begin_takeover(true);
        if !self.until_taken_over(None) {
            return Err(stuck("a takeover did not end".to_owned()));
        }
        self.auditor.until_settled(&mut self.plane)?;
        Ok(self.plane.take_trace())
    }

    /// A takeover while an operation is under way, with a death on one side. With `both`, the other side dies too.
    pub(crate) fn kill_at_takeover(
        &mut self,
        operation: Operation,
        at: &Failpoint,
        both: bool,
    ) -> Result<Killed, Vec<Finding>> {
        self.prepare(operation)?;
        self.request(operation)?;
        self.plane.arm(&format!("{}:{}", at.name, at.n));
        self.plane.begin_takeover(false);
        let is_served = self.until_taken_over(both.then_some(()));
        let hit = self.plane.disarm();
        let goes_on = is_served || (!both && self.predecessor_goes_on());
        if !goes_on || !self.plane.is_running() {
            self.plane.kill();
            self.restart(None)?;
        }
        self.auditor.until_settled(&mut self.plane)?;
        Ok(Killed { hit })
    }

    /// Whether the server whose successor has died goes on. It does not if that one had said that it serves.
    fn predecessor_goes_on(&mut self) -> bool {
        let began = Instant::now();
        while !self.plane.has_successor() && self.plane.is_running() && began.elapsed() < TAKEOVER_MAX {
            if self.plane.has_kept_folder() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        false
    }

    /// Waits until the successor serves alone. False if nobody does any more, or with `until_hit` once somebody
    /// has died.
    fn until_taken_over(&mut self, until_hit: Option<()>) -> bool {
        let began = Instant::now();
        while began.elapsed() < TAKEOVER_MAX {
            if until_hit.is_some() && self.plane.was_hit() {
                return false;
            }
            if let Some(is_served) = self.plane.end_takeover() {
                return is_served;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        false
    }

    /// Servers that nobody asked to take over, while an operation is under way: refused, and nothing is disturbed.
    pub(crate) fn start_seconds(&mut self, dice: &mut Dice) -> Result<Killed, Vec<Finding>> {
        let operation = Operation::ALL[dice.below(6)];
        self.prepare(operation)?;
        let before = self.auditor.until_settled(&mut self.plane)?.n_failed;
        let mut seconds = vec![self.plane.spawn_second()];
        std::thread::sleep(Duration::from_micros(dice.below(15_000) as u64));
        self.request(operation)?;
        seconds.push(self.plane.spawn_second());
        for it in seconds {
            let status = ended(it).map_err(stuck)?;
            if status.code() != Some(EXIT_HELD) {
                return Err(vec![(Wrong::Double, format!("a second server ended with {status}"))]);
            }
        }
        let after = self.auditor.until_settled(&mut self.plane)?.n_failed;
        if after > before {
            return Err(vec![(Wrong::Disturbed, "a launch failed beside a second server".to_owned())]);
        }
        Ok(Killed { hit: true })
    }
}

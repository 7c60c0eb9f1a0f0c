//! Deaths at random instants, of anybody; and strangers under the pids of the dead.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::audit::Finding;
use crate::dice::Dice;
use crate::ledger::Wish;
use crate::life::{Killed, Life};
use crate::operation::Operation;
use crate::plane::signal;
use crate::snapshot;

/// Deaths of the server in a row, now and then, while it takes up what the last one left.
const LONG: usize = 50;
const LONG_ONE_IN: usize = 20;

/// Longest wait for the dead to be reaped.
const REAPED_MAX: Duration = Duration::from_secs(2);

impl Life {
    /// One to three operations without waiting for them, then deaths at a random instant.
    pub(crate) fn kill_at_random(&mut self, dice: &mut Dice) -> Result<Killed, Vec<Finding>> {
        let operation = Operation::ALL[dice.below(6)];
        self.prepare(operation)?;
        self.request(operation)?;
        for _ in 0..dice.below(3) {
            std::thread::sleep(Duration::from_millis(dice.below(40) as u64));
            if self.auditor.ledger.wish(&self.tag) != Wish::Gone {
                self.request(Operation::ALL[1 + dice.below(5)])?;
            }
        }
        std::thread::sleep(Duration::from_micros(dice.below(120_000) as u64));
        let hit = self.kill_some(dice);
        if !self.plane.is_running() {
            // A server that dies while it takes up what the last one left.
            let n_deaths = if dice.below(LONG_ONE_IN) == 0 { LONG } else { dice.below(3) };
            for _ in 0..n_deaths {
                if self.plane.start(false) {
                    std::thread::sleep(Duration::from_micros(dice.below(30_000) as u64));
                }
                self.plane.kill();
            }
            self.restart(None)?;
        }
        self.auditor.until_settled(&mut self.plane)?;
        self.auditor.strangers.dismiss();
        Ok(Killed { hit })
    }

    /// Kills server, shims, engines, or several of them; whether anybody was there to die.
    fn kill_some(&mut self, dice: &mut Dice) -> bool {
        let (server, shims, engines) = match dice.below(8) {
            0..=2 => (true, false, false),
            3 => (false, true, false),
            4 => (false, false, true),
            5 => (true, true, false),
            6 => (true, false, true),
            _ => (true, true, true),
        };
        if server {
            self.plane.kill();
        }
        // Of several one survives now and then.
        let dead = self.kill_replicas(shims, engines, || dice.below(4) > 0);
        server || !dead.is_empty()
    }

    /// Kills shims or engines or both, those of the bystander excepted; whom it killed.
    fn kill_replicas(&self, shims: bool, engines: bool, mut is_meant: impl FnMut() -> bool) -> Vec<i32> {
        let mut dead = Vec::new();
        for it in snapshot::processes(&self.plane.data()) {
            let is_one = (it.is_shim && shims) || (it.mark.is_some() && engines);
            if is_one && !self.auditor.is_kept(&it) && is_meant() {
                signal(it.pid, Signal::KILL);
                dead.push(it.pid);
            }
        }
        dead
    }

    /// Everything of the endpoint dies while the server is down, and strangers have their pids before it is back.
    pub(crate) fn kill_and_reuse(&mut self, dice: &mut Dice) -> Result<Killed, Vec<Finding>> {
        self.prepare(Operation::ScaleUp)?;
        self.do_now(Operation::ScaleUp)?;
        let operation = [Operation::Stop, Operation::Delete, Operation::ScaleDown][dice.below(3)];
        self.request(operation)?;
        std::thread::sleep(Duration::from_micros(dice.below(10_000) as u64));
        self.plane.kill();
        let dead = self.kill_replicas(true, true, || true);
        let began = Instant::now();
        let is_there = |pid: &i32| Path::new(&format!("/proc/{pid}")).exists();
        while dead.iter().any(is_there) && began.elapsed() < REAPED_MAX {
            std::thread::sleep(Duration::from_millis(2));
        }
        for entry in std::fs::read_dir(self.plane.data().join("run")).into_iter().flatten().flatten() {
            self.auditor.strangers.take_pids(&entry.path(), &dead);
        }
        self.restart(None)?;
        self.auditor.until_settled(&mut self.plane)?;
        self.auditor.strangers.dismiss();
        Ok(Killed { hit: !dead.is_empty() })
    }
}

//! Deaths of engines at a failpoint of an operation: whoever comes there is held until they are dead, so that it
//! goes on with what it saw before.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::audit::{Auditor, Finding};
use crate::life::{Failpoint, Killed, Life};
use crate::operation::Operation;
use crate::plane::{Plane, signal};
use crate::snapshot;

impl Life {
    /// Does the operation, with the death of the endpoint's engines while somebody is at the failpoint.
    pub(crate) fn kill_engines_at(
        &mut self,
        operation: Operation,
        at: &Failpoint,
    ) -> Result<Killed, Vec<Finding>> {
        self.prepare(operation)?;
        let killer = Killer::new(&self.plane, &self.auditor);
        self.plane.arm(&format!("hold {}:{}", at.name, at.n));
        let is_over = AtomicBool::new(false);
        let (requested, n_dead) = std::thread::scope(|scope| {
            let killer = scope.spawn(|| killer.wait_and_kill(&is_over));
            let requested = self.request(operation);
            if requested.is_ok() {
                self.until_hit();
            }
            is_over.store(true, Ordering::Relaxed);
            (requested, killer.join().unwrap_or(0))
        });
        self.plane.disarm();
        requested?;
        self.auditor.until_settled(&mut self.plane)?;
        Ok(Killed { hit: n_dead > 0 })
    }
}

/// What it takes to find the engines that are meant.
struct Killer {
    data: PathBuf,
    folder: PathBuf,
    /// Engines that must stay.
    kept: Vec<String>,
}

impl Killer {
    fn new(plane: &Plane, auditor: &Auditor) -> Self {
        Self { data: plane.data(), folder: plane.folder().to_owned(), kept: auditor.kept() }
    }

    /// Kills the engines once somebody is held, and lets that one go; how many it killed.
    fn wait_and_kill(&self, is_over: &AtomicBool) -> usize {
        let mut n_dead = 0;
        loop {
            // Looked at after the flag: what is held when the operation is over must go on too.
            let is_last = is_over.load(Ordering::Relaxed);
            if let Some(held) = self.held() {
                n_dead += self.kill();
                std::fs::remove_file(held).unwrap();
                return n_dead;
            }
            if is_last {
                return n_dead;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    fn held(&self) -> Option<PathBuf> {
        let is_held = |it: &PathBuf| {
            it.file_name().and_then(|it| it.to_str()).is_some_and(|it| it.starts_with("failpoint.held."))
        };
        std::fs::read_dir(&self.folder).unwrap().flatten().map(|it| it.path()).find(is_held)
    }

    fn kill(&self) -> usize {
        let engines = snapshot::processes(&self.data).into_iter().filter(|it| {
            let mark = it.mark.as_ref();
            !it.is_shim && mark.is_some_and(|mark| !self.kept.contains(mark))
        });
        engines.map(|it| signal(it.pid, Signal::KILL)).count()
    }
}

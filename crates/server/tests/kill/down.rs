//! `dedi down`, which ends a server and every replica, and a death on either side of it.

use crate::audit::{Finding, Wrong};
use crate::life::{BYSTANDER, Failpoint, Killed, Life, stuck};
use crate::operation::Operation;
use crate::plane::ended;
use crate::snapshot::{self, Snapshot};

impl Life {
    /// The places that an undisturbed `dedi down` passes, the server's included.
    pub(crate) fn trace_down(&mut self) -> Result<Vec<String>, Vec<Finding>> {
        self.prepare(Operation::Stop)?;
        self.plane.take_trace();
        self.auditor.keep([]);
        if !self.down(true)? {
            return Err(stuck("`dedi down` failed".to_owned()));
        }
        let names = self.plane.take_trace();
        self.come_back()?;
        Ok(names)
    }

    /// `dedi down` with a death at the failpoint; whoever survives goes on. What is wanted is there again after
    /// the next start.
    pub(crate) fn kill_at_down(&mut self, at: &Failpoint) -> Result<Killed, Vec<Finding>> {
        self.prepare(Operation::Stop)?;
        self.auditor.keep([]);
        self.plane.arm(&format!("{}:{}", at.name, at.n));
        let is_done = self.down(false)?;
        let hit = self.plane.disarm();
        let left = snapshot::processes(&self.plane.data());
        if is_done && !left.is_empty() {
            return Err(vec![(Wrong::Orphan, format!("`dedi down` succeeded and left {left:?}"))]);
        }
        if !is_done && !hit {
            return Err(stuck("`dedi down` failed though nobody died".to_owned()));
        }
        self.come_back()?;
        Ok(Killed { hit })
    }

    fn down(&mut self, trace: bool) -> Result<bool, Vec<Finding>> {
        let status = ended(self.plane.spawn_down(trace)).map_err(stuck)?;
        self.plane.kill();
        Ok(status.success())
    }

    fn come_back(&mut self) -> Result<(), Vec<Finding>> {
        self.restart(None)?;
        let snapshot = self.auditor.until_settled(&mut self.plane)?;
        self.keep_bystander(&snapshot);
        Ok(())
    }

    fn keep_bystander(&mut self, snapshot: &Snapshot) {
        let id = self.auditor.ledger.entry(BYSTANDER).id.clone();
        let own = snapshot.replicas.iter().filter(|it| Some(&it.endpoint) == id.as_ref());
        self.auditor.keep(own.map(|it| it.nonce.clone()));
    }
}

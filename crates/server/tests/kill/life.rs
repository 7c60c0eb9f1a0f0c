//! One plane through many kills: an endpoint that everything is done to, and one beside it that must not
//! notice any of it.

use std::time::{Duration, Instant};

use crate::audit::{Auditor, Finding, Wrong};
use crate::ledger::Wish;
use crate::operation::{Operation, create_bystander};
use crate::plane::Plane;
use crate::snapshot::Snapshot;

/// Longest wait for a process to come to its failpoint; those that it is not on the way of come to rest first.
const HIT_MAX: Duration = Duration::from_secs(5);

pub(crate) const BYSTANDER: &str = "bystander";

/// Where in an operation somebody dies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failpoint {
    pub(crate) name: String,
    pub(crate) n: usize,
}

/// A plane and its account.
pub(crate) struct Life {
    pub(crate) plane: Plane,
    pub(crate) auditor: Auditor,
    /// The endpoint that operations are done to.
    pub(crate) tag: String,
    n_tags: usize,
}

/// What a case came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Killed {
    /// Somebody died while the operation was under way.
    pub(crate) hit: bool,
}

impl Life {
    /// A plane at rest with its bystander; the server runs.
    pub(crate) fn begin(trace: bool) -> Result<Self, Vec<Finding>> {
        let mut life = Self { plane: Plane::new(), auditor: Auditor::new(), tag: String::new(), n_tags: 0 };
        assert!(life.plane.start(trace), "{}", life.plane.log_tail());
        life.plane.add_models();
        create_bystander(life.plane.client(), &mut life.auditor.ledger, BYSTANDER).map_err(stuck)?;
        let snapshot = life.auditor.until_settled(&mut life.plane)?;
        life.auditor.keep(snapshot.engines().map(|(_, mark)| mark.to_owned()));
        Ok(life)
    }

    /// A server on an empty folder that dies at the failpoint, before or while its first endpoint is made; then
    /// one that does not.
    pub(crate) fn kill_at_first_boot(at: &Failpoint) -> Result<Killed, Vec<Finding>> {
        let mut life = Self { plane: Plane::new(), auditor: Auditor::new(), tag: String::new(), n_tags: 0 };
        let killed = life.first_boot(at).map_err(|found| life.with_log(found))?;
        life.end().map_err(|found| life.with_log(found))?;
        Ok(killed)
    }

    /// This plane is not the caller's to look at, so what it logged comes along.
    fn with_log(&self, mut found: Vec<Finding>) -> Vec<Finding> {
        found.push((Wrong::Stuck, self.plane.log_tail()));
        found
    }

    fn first_boot(&mut self, at: &Failpoint) -> Result<Killed, Vec<Finding>> {
        self.plane.arm(&format!("{}:{}", at.name, at.n));
        if self.plane.start(false) {
            create_bystander(self.plane.client(), &mut self.auditor.ledger, BYSTANDER).map_err(stuck)?;
            self.until_hit();
        }
        let hit = self.plane.disarm();
        self.plane.kill();
        self.restart(None)?;
        self.auditor.until_settled(&mut self.plane)?;
        Ok(Killed { hit })
    }

    /// What [`Life::begin`] passed, where it was traced.
    pub(crate) fn trace_of_first_boot(&self) -> Vec<String> {
        self.plane.take_trace()
    }

    /// Brings the endpoint to where `operation` makes sense, undisturbed.
    pub(crate) fn prepare(&mut self, operation: Operation) -> Result<(), Vec<Finding>> {
        if operation == Operation::Create {
            if self.n_tags > 0 && self.auditor.ledger.wish(&self.tag) != Wish::Gone {
                self.do_now(Operation::Delete)?;
            }
            self.auditor.ledger.close_gone();
            self.n_tags += 1;
            self.tag = format!("subject-{}", self.n_tags);
            self.auditor.ledger.open(&self.tag);
            return Ok(());
        }
        if self.n_tags == 0 || self.auditor.ledger.wish(&self.tag) == Wish::Gone {
            self.prepare(Operation::Create)?;
            self.do_now(Operation::Create)?;
        }
        let now = self.auditor.ledger.wish(&self.tag);
        let needed = match (operation, now) {
            (Operation::Start, Wish::Run(_)) => Some(Operation::Stop),
            (Operation::Stop | Operation::ScaleUp | Operation::ScaleDown, Wish::Stopped(_)) => {
                Some(Operation::Start)
            }
            (Operation::ScaleUp, Wish::Run(3)) => Some(Operation::ScaleDown),
            (Operation::ScaleDown, Wish::Run(1)) => Some(Operation::ScaleUp),
            (_, _) => None,
        };
        needed.map_or(Ok(()), |it| self.do_now(it))
    }

    /// Does it and waits until it is done.
    pub(crate) fn do_now(&mut self, operation: Operation) -> Result<(), Vec<Finding>> {
        self.request(operation)?;
        self.auditor.until_settled(&mut self.plane).map(drop)
    }

    pub(crate) fn request(&mut self, operation: Operation) -> Result<(), Vec<Finding>> {
        operation.request(self.plane.client(), &mut self.auditor.ledger, &self.tag).map_err(stuck)
    }

    /// The places that an undisturbed operation passes, in order.
    pub(crate) fn trace(&mut self, operation: Operation) -> Result<Vec<String>, Vec<Finding>> {
        self.prepare(operation)?;
        self.plane.take_trace();
        self.do_now(operation)?;
        Ok(self.plane.take_trace())
    }

    /// Does the operation with a death at the failpoint, and audits what becomes of it. With `both`, the server
    /// dies with a shim. With `again`, the recovery dies too, at that failpoint if it comes to it.
    pub(crate) fn kill_at(
        &mut self,
        operation: Operation,
        at: &Failpoint,
        both: bool,
        again: Option<&Failpoint>,
    ) -> Result<Killed, Vec<Finding>> {
        self.prepare(operation)?;
        self.plane.arm(&format!("{}:{}", at.name, at.n));
        self.request(operation)?;
        self.until_hit();
        let hit = self.plane.disarm();
        if hit && both {
            self.plane.kill();
        }
        if !self.plane.is_running() {
            self.plane.kill();
            self.restart(again)?;
        }
        self.auditor.until_settled(&mut self.plane)?;
        Ok(Killed { hit })
    }

    /// Waits until somebody has come to the failpoint, or everything has come to rest without.
    pub(crate) fn until_hit(&self) {
        let began = Instant::now();
        while began.elapsed() < HIT_MAX && !self.plane.was_hit() {
            let is_at_rest = Snapshot::at(&self.plane).is_ok_and(|it| {
                self.auditor.unsettled(&it).is_none() && self.auditor.ledger.lost(&it).is_empty()
            });
            if is_at_rest {
                // The death may yet come with the last step.
                std::thread::sleep(Duration::from_millis(5));
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Starts the server on what is there; first once with a failpoint in its way.
    pub(crate) fn restart(&mut self, again: Option<&Failpoint>) -> Result<(), Vec<Finding>> {
        if let Some(at) = again {
            self.plane.arm(&format!("{}:{}", at.name, at.n));
            if self.plane.start(false) {
                self.until_hit();
            }
            self.plane.disarm();
            self.plane.kill();
        }
        if self.plane.start(false) {
            Ok(())
        } else {
            Err(vec![(Wrong::Stuck, "the server ended at its start".to_owned())])
        }
    }

    /// Deletes everything and audits that nothing is left. The run of this plane is over.
    pub(crate) fn end(&mut self) -> Result<(), Vec<Finding>> {
        self.auditor.keep([]);
        let tags: Vec<String> = self.auditor.ledger.entries().iter().map(|it| it.tag.clone()).collect();
        for tag in tags.iter().filter(|it| self.auditor.ledger.wish(it) != Wish::Gone).collect::<Vec<_>>() {
            Operation::Delete.request(self.plane.client(), &mut self.auditor.ledger, tag).map_err(stuck)?;
        }
        let found = self.auditor.until_empty(&mut self.plane);
        if found.is_empty() { Ok(()) } else { Err(found) }
    }
}

pub(crate) fn stuck(why: String) -> Vec<Finding> {
    vec![(Wrong::Stuck, why)]
}

//! The safety rules that hold of the true state after every event. They are written anew from the
//! specification and share no code with the decision.

pub(crate) mod ledger;
pub(crate) mod plan;
pub(crate) mod usage;

use dedi_domain::{Desired, EndpointState, Intent, ReplicaId};

use crate::bug::Bug;
use crate::life::Sim;
use crate::life::fault::Fault;
use crate::trace::{Checked, broken};
use crate::world::devices::set_of;
use crate::world::runtime::Life;

impl Sim {
    /// After every event, at every point where a crash may come.
    pub(crate) fn check(&mut self) -> Checked {
        self.check_processes()?;
        self.check_rows()?;
        self.check_counters()?;
        self.gateway.requests.check()?;
        self.check_usage()?;
        self.ledger.check(&self.store)
    }

    fn check_processes(&self) -> Checked {
        let mut used = 0;
        for (at, it) in self.runtime.processes.iter().enumerate() {
            if !it.life.is_alive() {
                continue;
            }
            if used & it.devices != 0 {
                return broken(
                    "S1",
                    format!("{} runs on a device that another live process uses", it.replica),
                );
            }
            used |= it.devices;
            let is_twin = |other: &crate::world::runtime::Process| other.nonce == it.nonce;
            if self.runtime.processes[..at].iter().any(is_twin) {
                return broken("S3", format!("{} has two processes", it.replica));
            }
            if it.life == Life::Stopping || it.is_impostor {
                continue;
            }
            let is_known = self.store.row(it.replica).is_some_and(|row| row.nonce == it.nonce);
            if !is_known {
                return broken("S3", format!("the process of {} has no row", it.replica));
            }
        }
        Ok(())
    }

    fn check_rows(&mut self) -> Checked {
        let mut held = 0;
        let ranks = &mut self.ranks;
        let mut n_rows = 0;
        for view in &self.store.endpoints {
            let it = &view.desired;
            self.tenants.check_secret(&it.display_name)?;
            if it.observed_generation > it.generation {
                return broken("S7", format!("{} has seen generations that are not there yet", it.id));
            }
            for row in view.replicas.iter().map(|it| &it.row) {
                let devices = set_of(&row.devices);
                if held & devices != 0 {
                    return broken("S1", format!("{} holds a device that another row holds", row.id));
                }
                held |= devices;
                n_rows += 1;
                let rank = rank(row.intent);
                let reason = plan::reason_of(row.intent);
                match ranks.iter_mut().find(|it| it.0 == row.id) {
                    Some(known) if known.2.is_some() && known.2 != reason => {
                        return broken(
                            "S19",
                            format!("{} was ended for {:?} and then for {reason:?}", row.id, known.2),
                        );
                    }
                    Some(known) if known.1 > rank => {
                        return broken("S3", format!("{} was told to stop and is told otherwise", row.id));
                    }
                    Some(known) => (known.1, known.2) = (rank, reason),
                    None => ranks.push((row.id, rank, reason)),
                }
            }
        }
        if ranks.len() > n_rows {
            let is_there = |id: ReplicaId| self.store.row(id).is_some();
            ranks.retain(|it| is_there(it.0));
        }
        Ok(())
    }

    /// S12.
    fn check_usage(&mut self) -> Checked {
        // What a stranger's time is billed for is the smaller part of taking it for ours.
        let is_other = self.has(Bug::RawClock) || self.has(Bug::IgnoreBoot);
        let is_clock_fair = !self.faults.has(Fault::ClockStep) && !self.had_clock_step && !is_other;
        let ahead = self.controllers.iter().map(|it| it.clock.ahead()).max().unwrap_or(0);
        self.meter.check(&self.store, is_clock_fair.then_some(ahead))
    }

    /// Counters of the layers: what a layer had to stop or let through, though a healthy system never asks.
    fn check_counters(&self) -> Checked {
        let lease = self.store.lease.epoch;
        if self.store.n_unfenced > 0 || self.runtime.n_unfenced > 0 {
            return broken("S8", format!("a lease older than {lease} changed rows or processes"));
        }
        if self.runtime.n_started_twice > 0 {
            return broken("S3", "a launch was started twice");
        }
        if self.runtime.n_strangers_hit > 0 {
            return broken("S9", "a process that is not ours was signalled");
        }
        if self.gateway.n_overdue > 0 {
            return broken("L5", "a request waited beyond its deadline");
        }
        if self.gateway.n_after_let_go > 0 {
            return broken("S11", "a replica got a request after it was let go of");
        }
        if self.n_blind > 0 {
            return broken("F78", "an endpoint was made smaller without a load report");
        }
        Ok(())
    }
}

fn rank(intent: Intent) -> u8 {
    match intent {
        Intent::Run => 0,
        Intent::Drain { .. } => 1,
        Intent::Stop { .. } => 2,
    }
}

/// S6: whether a client may see `to` after `from`.
pub(crate) fn check_step(from: EndpointState, to: EndpointState, desired: &Desired) -> Checked {
    use EndpointState::{Error, Pending, Started, Starting, Stopped, Stopping};
    let is_allowed = from == to
        || match from {
            Pending => [Starting, Stopping, Error].contains(&to),
            Starting => [Started, Stopping, Error, Pending].contains(&to),
            Started => [Stopping, Starting, Error].contains(&to),
            Stopping => [Stopped, Pending].contains(&to),
            Stopped => to == Pending,
            Error => [Pending, Stopping].contains(&to),
        };
    if is_allowed { Ok(()) } else { broken("S6", format!("{} went from {from} to {to}", desired.id)) }
}

/// S6: from which states a row may go.
pub(crate) fn check_erase(from: EndpointState) -> Checked {
    match from {
        EndpointState::Pending | EndpointState::Stopping | EndpointState::Stopped | EndpointState::Error => {
            Ok(())
        }
        EndpointState::Starting | EndpointState::Started => {
            broken("S6", format!("an endpoint was erased in {from}"))
        }
    }
}

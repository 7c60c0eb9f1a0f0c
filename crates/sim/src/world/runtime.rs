//! The processes as they truly are, and the runtime that lists, starts and ends them. Its contract, which the
//! real runtimes must keep:
//!
//! - `ensure` starts a process for a mark at most once, ever: a mark that has a process, or had one, or was
//!   removed, starts nothing.
//! - `remove` names the mark; a process with another mark is not touched, and neither is one whose record is
//!   of an earlier boot. What was told to go is listed as `Stopping` until its last process is gone.
//! - `list` shows every replica or fails. It may be late about what processes do by themselves, but it holds
//!   the effect of each command that was answered before, it never goes back, and it fails while a launch
//!   that was begun by the same control plane has neither landed nor certainly failed.
//! - devices are measured after the list is made.
//! - every call carries the lease's epoch; one older than the newest seen is refused, and `list` counts as
//!   seeing, so that a new leader's first look shuts the old one out.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use dedi_domain::{
    Address, Exit, FailureCause, NodeId, Nonce, ObservedReplica, ReplicaId, ReplicaPhase, Timestamp,
};

use crate::bug::Bug;
use crate::world::devices::DeviceSet;

/// How a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Only a record: nothing was started yet.
    Unstarted,
    Loading,
    Ready,
    Hung {
        since: i64,
    },
    Orphaned,
    Stopping,
    Exited(FailureCause),
}

impl Life {
    pub(crate) fn is_alive(self) -> bool {
        match self {
            Self::Loading | Self::Ready | Self::Hung { .. } | Self::Orphaned | Self::Stopping => true,
            Self::Unstarted | Self::Exited(_) => false,
        }
    }
}

/// A process, or the record of one that ended.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) replica: ReplicaId,
    pub(crate) nonce: Nonce,
    pub(crate) devices: DeviceSet,
    pub(crate) life: Life,
    /// What it does next by itself, and when.
    pub(crate) next: Option<(i64, Life)>,
    /// Gone for good then, once told to go.
    pub(crate) gone_at: i64,
    pub(crate) started_at: i64,
    /// When it ended, as its record says.
    pub(crate) ended_at: i64,
    /// Carries our mark though no row ever knew it.
    pub(crate) is_impostor: bool,
    /// Its process id belongs to a stranger since the host restarted.
    pub(crate) is_reused: bool,
    /// Ended by somebody on the host: its record stays until it is removed.
    pub(crate) is_stopped_on_host: bool,
}

impl Process {
    pub(crate) fn new(start: Start, life: Life, now: i64) -> Self {
        Self {
            replica: start.replica,
            nonce: start.nonce,
            devices: start.devices,
            life,
            next: start.next,
            gone_at: 0,
            started_at: now,
            ended_at: now,
            is_impostor: false,
            is_reused: false,
            is_stopped_on_host: false,
        }
    }
}

/// What is to be started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) replica: ReplicaId,
    pub(crate) nonce: Nonce,
    pub(crate) devices: DeviceSet,
    pub(crate) epoch: u64,
    /// What it will do by itself, and when.
    pub(crate) next: Option<(i64, Life)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Landing {
    pub(crate) at: i64,
    pub(crate) start: Start,
}

/// The answer to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Started,
    Nothing,
    /// The caller's lease is not the newest.
    Refused,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Runtime {
    bug: Option<Bug>,
    pub(crate) processes: Vec<Process>,
    pub(crate) landings: Vec<Landing>,
    /// Marks that were started or removed: none of them starts anything again.
    used: Vec<Nonce>,
    floor: u64,
    /// The last list, as long as a late list may repeat it.
    last: Option<(Vec<ObservedReplica>, i64)>,
    /// Commands of a lease that was not the newest, taken nevertheless.
    pub(crate) n_unfenced: u32,
    /// Signals sent to processes of strangers.
    pub(crate) n_strangers_hit: u32,
    /// Marks that ever had a process, and how often one of them got another.
    started: Vec<Nonce>,
    pub(crate) n_started_twice: u32,
}

const ADDRESS: Address = Address::Tcp(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1)));

impl Runtime {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        Self { bug, ..Self::default() }
    }

    fn is_refused(&mut self, epoch: u64, current: u64) -> bool {
        if epoch < self.floor && self.bug != Some(Bug::NoRuntimeFence) {
            return true;
        }
        if epoch < self.floor && epoch < current {
            self.n_unfenced += 1;
        }
        self.floor = self.floor.max(epoch);
        false
    }

    pub(crate) fn ensure(&mut self, start: Start, now: i64, current_epoch: u64) -> Done {
        if self.is_refused(start.epoch, current_epoch) {
            return Done::Refused;
        }
        if self.bug != Some(Bug::StaleList) {
            self.last = None;
        }
        if self.used.contains(&start.nonce) && self.bug != Some(Bug::DoubleSpawn) {
            return Done::Nothing;
        }
        self.used.push(start.nonce);
        if self.started.contains(&start.nonce) {
            self.n_started_twice += 1;
        }
        self.started.push(start.nonce);
        self.processes.retain(|it| it.nonce != start.nonce || it.life != Life::Unstarted);
        self.processes.push(Process::new(start, Life::Loading, now));
        Done::Started
    }

    /// Writes a launch down without starting it, as a control plane does that is killed in between.
    pub(crate) fn write_down(&mut self, start: Start, now: i64) {
        let is_known = self.processes.iter().any(|it| it.nonce == start.nonce);
        if start.epoch >= self.floor && !is_known && !self.used.contains(&start.nonce) {
            self.processes.push(Process::new(start, Life::Unstarted, now));
            self.last = None;
        }
    }

    /// Somebody on the host ends it; it is gone at `gone_at`.
    pub(crate) fn end(&mut self, at: usize, gone_at: i64) {
        let it = &mut self.processes[at];
        if self.bug != Some(Bug::DownForgets) {
            it.is_stopped_on_host = true;
        }
        it.next = None;
        if it.life == Life::Unstarted {
            it.life = Life::Exited(FailureCause::Stopped);
            let nonce = it.nonce;
            self.use_up(nonce);
        } else {
            it.life = Life::Stopping;
            it.gone_at = gone_at;
        }
        self.last = None;
    }

    /// The mark starts nothing any more.
    pub(crate) fn use_up(&mut self, nonce: Nonce) {
        if !self.used.contains(&nonce) {
            self.used.push(nonce);
        }
    }

    /// What has ended as it was told to leaves the list.
    pub(crate) fn forget_ended(&mut self) {
        let is_over = |it: &Process| it.life == Life::Exited(FailureCause::Stopped) && !it.is_stopped_on_host;
        if self.bug == Some(Bug::DownForgets) {
            let over: Vec<Nonce> =
                self.processes.iter().filter(|it| is_over(it)).map(|it| it.nonce).collect();
            self.used.retain(|it| !over.contains(it));
        }
        self.processes.retain(|it| !is_over(it));
    }

    /// Begins to end a process; it is gone at `gone_at`.
    pub(crate) fn remove(
        &mut self,
        replica: ReplicaId,
        nonce: Nonce,
        epoch: u64,
        gone_at: i64,
        current_epoch: u64,
    ) -> Done {
        if self.is_refused(epoch, current_epoch) {
            return Done::Refused;
        }
        if self.bug != Some(Bug::StaleList) {
            self.last = None;
        }
        self.use_up(nonce);
        let by_id = self.bug == Some(Bug::RemoveByIdOnly);
        let ignores_boot = self.bug == Some(Bug::IgnoreBoot);
        for it in &mut self.processes {
            if it.replica != replica || (it.nonce != nonce && !by_id) {
                continue;
            }
            it.is_stopped_on_host = false;
            if it.life.is_alive() {
                if it.life != Life::Stopping {
                    it.life = Life::Stopping;
                    it.next = None;
                    it.gone_at = gone_at;
                }
            } else if ignores_boot && it.is_reused {
                self.n_strangers_hit += 1;
            }
        }
        self.processes.retain(|it| it.life.is_alive() || it.nonce != nonce);
        Done::Nothing
    }

    /// All replicas, as the caller's clock stamps them, and when it was so; `None` when that can't be said.
    pub(crate) fn list(
        &mut self,
        epoch: u64,
        now: i64,
        caller_now: Timestamp,
        is_late: bool,
    ) -> Option<(Vec<ObservedReplica>, i64)> {
        if epoch < self.floor {
            return None;
        }
        self.floor = epoch;
        let is_launching = self.landings.iter().any(|it| it.start.epoch >= epoch);
        let answers_early = matches!(self.bug, Some(Bug::ListDuringLaunch | Bug::DoubleSpawn));
        if is_launching && !answers_early {
            return None;
        }
        if is_late && let Some(last) = &self.last {
            return Some(last.clone());
        }
        let ignores_boot = self.bug == Some(Bug::IgnoreBoot);
        let hides_stopping = self.bug == Some(Bug::StoppingIsGone);
        let listed: Vec<ObservedReplica> = self
            .processes
            .iter()
            .filter(|it| !(hides_stopping && it.life == Life::Stopping))
            .map(|it| ObservedReplica {
                id: it.replica,
                nonce: it.nonce,
                node: NodeId::LOCAL,
                phase: if it.is_reused && ignores_boot {
                    ReplicaPhase::Ready { address: ADDRESS }
                } else {
                    phase(it, now, caller_now)
                },
                isolation: None,
                unready: None,
            })
            .collect();
        self.last = Some((listed.clone(), now));
        Some((listed, now))
    }

    /// Nothing here knows the mark any more.
    pub(crate) fn forget(&mut self, nonce: Nonce) {
        self.used.retain(|it| *it != nonce);
        // Or every planted bug would show as a second start: they let replicas vanish that were never seen.
        self.started.retain(|it| *it != nonce);
        self.last = None;
    }

    /// The live process of a mark.
    pub(crate) fn live(&self, nonce: Nonce) -> Option<&Process> {
        self.processes.iter().find(|it| it.nonce == nonce && it.life.is_alive())
    }

    pub(crate) fn is_ready(&self, replica: ReplicaId) -> bool {
        self.processes.iter().any(|it| it.replica == replica && it.life == Life::Ready)
    }
}

fn phase(it: &Process, now: i64, caller_now: Timestamp) -> ReplicaPhase {
    let stamp = |then: i64| Timestamp(caller_now.0 - (now - then));
    match it.life {
        Life::Unstarted => ReplicaPhase::Unstarted,
        Life::Loading => ReplicaPhase::Launching { progress_at: stamp(it.started_at), percent: None },
        Life::Ready => ReplicaPhase::Ready { address: ADDRESS },
        Life::Hung { since } => ReplicaPhase::Unresponsive { since: stamp(since), address: ADDRESS },
        Life::Orphaned => ReplicaPhase::Orphaned,
        Life::Stopping => ReplicaPhase::Stopping,
        Life::Exited(cause) => {
            let at = stamp(it.ended_at);
            ReplicaPhase::Exited(Exit { code: None, signal: None, cause, at, log_tail: Vec::new() })
        }
    }
}

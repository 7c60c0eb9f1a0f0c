//! What happens by itself while time goes on.

use dedi_domain::FailureCause;

use super::Sim;
use super::fault::Fault;
use crate::world::runtime::{Life, Process};

impl Sim {
    /// True time goes on: processes, launches, requests and device memory follow.
    pub(crate) fn advance(&mut self, ms: i64) {
        self.now += ms;
        self.land();
        self.advance_fetches();
        let now = self.now;
        let mut died = Vec::new();
        for it in &mut self.runtime.processes {
            if it.life == Life::Stopping && it.gone_at <= now {
                it.life = Life::Exited(FailureCause::Stopped);
                it.ended_at = it.gone_at;
                died.push((it.clone(), true));
            }
            if let Some((at, next)) = it.next
                && at <= now
                && it.life.is_alive()
            {
                it.life = next;
                it.next = None;
                if next == Life::Ready {
                    self.meter.is_ready(it.nonce, at);
                }
                if !next.is_alive() {
                    it.ended_at = at;
                    died.push((it.clone(), false));
                }
            }
        }
        for (it, _) in &died {
            self.bury(it);
        }
        if died.iter().any(|it| it.1) {
            self.runtime.forget_ended();
        }
        self.gateway.advance(now, |it| self.runtime.is_ready(it));
    }

    /// A process is gone: its requests end with an error, its memory comes back, sometimes late.
    pub(crate) fn bury(&mut self, process: &Process) {
        let replica = process.replica;
        self.meter.is_gone(process.nonce, process.ended_at);
        self.gateway.lose(replica, self.now, |it| self.runtime.is_ready(it));
        if self.faults.has(Fault::SlowMemory) {
            let until = self.now + [0, 2_000, 20_000, 200_000][self.rng.below(4)];
            self.devices.leave(process.devices, until);
        }
        self.trace.note(self.now, || format!("the process of {replica} is gone"));
    }

    pub(crate) fn end_process(&mut self, at: usize, cause: FailureCause) {
        let it = &mut self.runtime.processes[at];
        it.life = Life::Exited(cause);
        it.next = None;
        it.ended_at = self.now;
        let process = it.clone();
        self.bury(&process);
    }

    /// A live process of ours, drawn among all.
    pub(crate) fn draw_process(&mut self, fits: impl Fn(&Process) -> bool) -> Option<usize> {
        let fitting: Vec<usize> = self
            .runtime
            .processes
            .iter()
            .enumerate()
            .filter(|(_, it)| it.life.is_alive() && it.life != Life::Stopping && fits(it))
            .map(|(at, _)| at)
            .collect();
        let at = self.rng.below(fitting.len());
        fitting.get(at).copied()
    }
}

//! The faults that happen to the host and its processes, one at a time.

use dedi_domain::{FailureCause, Intent, Nonce};

use crate::life::Sim;
use crate::life::fault::Fault;
use crate::trace::Checked;
use crate::world::clock::Clock;
use crate::world::runtime::{Life, Process, Start};

impl Sim {
    pub(crate) fn fault(&mut self) -> Checked {
        let fault = Fault::ALL[self.rng.below(Fault::ALL.len())];
        if !self.faults.has(fault) {
            return Ok(());
        }
        let now = self.now;
        self.trace.note(now, || format!("fault {fault:?}"));
        match fault {
            Fault::Crash => {
                let who = self.rng.below(self.controllers.len());
                if self.controllers[who].is_up {
                    self.kill(who);
                }
            }
            Fault::EngineDies => {
                if let Some(at) = self.draw_process(|it| !it.is_impostor) {
                    self.end_process(at, FailureCause::EngineKilled);
                }
            }
            Fault::TerminalExit => {
                if let Some(at) = self.draw_process(|it| it.life == Life::Loading && !it.is_impostor) {
                    self.end_process(at, FailureCause::DeviceOutOfMemory);
                }
            }
            Fault::EngineHangs => {
                if let Some(at) = self.draw_process(|it| it.life == Life::Ready) {
                    self.runtime.processes[at].life = Life::Hung { since: now };
                    if self.rng.percent(40) {
                        let until = now + self.rng.between(1_000, 60_000);
                        self.runtime.processes[at].next = Some((until, Life::Ready));
                    }
                }
            }
            Fault::SupervisorDies => {
                if let Some(at) = self.draw_process(|it| !it.is_impostor) {
                    let it = &mut self.runtime.processes[at];
                    it.life = Life::Orphaned;
                    it.next = None;
                }
            }
            Fault::Vanish => self.vanish(),
            Fault::StoppedOnHost => self.stop_on_host(),
            Fault::DeviceFaulty => {
                let at = self.rng.below(self.devices.count());
                let it = &mut self.devices.truth[at];
                it.is_healthy = !it.is_healthy;
            }
            Fault::DeviceVanishes => {
                let at = self.rng.below(self.devices.count());
                let it = &mut self.devices.truth[at];
                it.is_present = !it.is_present;
            }
            Fault::ForeignMemory => {
                let at = self.rng.below(self.devices.count());
                let it = &mut self.devices.truth[at];
                it.has_foreign = !it.has_foreign;
            }
            Fault::ClockStep => {
                let who = self.rng.below(self.controllers.len());
                let step = [3_600_000, 300_000_000_000][self.rng.below(2)];
                let step = self.rng.between(-step, step);
                let clock: &mut Clock = &mut self.controllers[who].clock;
                clock.wall_offset += step;
            }
            Fault::ModelAway => self.take_model_away(),
            Fault::HostRestart => self.restart_host(),
            Fault::Impostor => self.impostor(),
            Fault::SlowExit
            | Fault::SlowMemory
            | Fault::LateList
            | Fault::DuplicateList
            | Fault::ListFails
            | Fault::StaleRows
            | Fault::SecondController
            | Fault::Pause
            | Fault::SpawnFails
            | Fault::LateSpawn
            | Fault::HalfSpawn
            | Fault::SlowFetch
            | Fault::SlowLoad
            | Fault::NeverReady
            | Fault::CommitUnknown
            | Fault::LostReply
            | Fault::RacingChange
            | Fault::StuckRequest
            | Fault::LateRoutes
            | Fault::LateReports
            | Fault::StoreFails
            | Fault::Shuffle
            | Fault::SetAside => {}
        }
        Ok(())
    }

    /// Process and record of a replica that was seen go without a trace.
    fn vanish(&mut self) {
        let Some(at) = self.draw_process(|it| !it.is_impostor) else { return };
        let nonce = self.runtime.processes[at].nonce;
        let is_seen = self
            .store
            .endpoints
            .iter()
            .flat_map(|it| &it.replicas)
            .any(|it| it.row.nonce == nonce && (it.row.seen || self.bug.is_some()));
        if is_seen {
            self.end_process(at, FailureCause::Lost);
            self.runtime.processes.remove(at);
            self.runtime.forget(nonce);
        }
    }

    /// One replica is ended from outside, or every one and the control planes first, not always to the last.
    fn stop_on_host(&mut self) {
        let is_down = self.rng.percent(50);
        if is_down {
            for who in 0..self.controllers.len() {
                self.kill(who);
            }
        }
        let n_processes = self.runtime.processes.len();
        let only = self.rng.below(n_processes);
        let is_cut_short = self.rng.percent(30);
        for at in 0..n_processes {
            let it = &self.runtime.processes[at];
            let may_live = it.life.is_alive() || it.life == Life::Unstarted;
            let is_meant = if is_down { !is_cut_short || self.rng.percent(50) } else { at == only };
            let it = &self.runtime.processes[at];
            if may_live && it.life != Life::Stopping && is_meant {
                self.outside_stops.push(it.nonce);
                let gone_at = self.now + self.rng.between(50, 5_000);
                self.runtime.end(at, gone_at);
            }
        }
    }

    /// Every process of the host is gone; records stay, and strangers get the process ids.
    fn restart_host(&mut self) {
        for who in 0..self.controllers.len() {
            self.kill(who);
        }
        self.runtime.landings.clear();
        for at in 0..self.runtime.processes.len() {
            if self.runtime.processes[at].life == Life::Unstarted {
                self.runtime.processes[at].life = Life::Exited(FailureCause::HostRestarted);
                self.runtime.use_up(self.runtime.processes[at].nonce);
            }
            if self.runtime.processes[at].life.is_alive() {
                let was_told = self.runtime.processes[at].life == Life::Stopping;
                self.end_process(at, FailureCause::HostRestarted);
                if was_told {
                    self.runtime.processes[at].life = Life::Exited(FailureCause::Stopped);
                }
            }
            self.runtime.processes[at].is_reused = self.rng.percent(50);
        }
        self.runtime.forget_ended();
        for it in &mut self.devices.truth {
            it.held_until = 0;
        }
        let ms = self.rng.between(20_000, 60_000);
        self.advance(ms);
    }

    /// A process with our mark and the id of a replica that exists: a leftover of a restored database.
    fn impostor(&mut self) {
        let known: Vec<_> = self
            .store
            .endpoints
            .iter()
            .flat_map(|it| &it.replicas)
            .filter(|it| it.row.intent == Intent::Run)
            .map(|it| it.row.id)
            .collect();
        let at = self.rng.below(known.len());
        let Some(replica) = known.get(at).copied() else { return };
        let nonce = Nonce::from_uuid(self.rng.uuid());
        let start = Start { replica, nonce, devices: 0, epoch: 0, next: None };
        let life = [Life::Ready, Life::Loading, Life::Orphaned][self.rng.below(3)];
        self.runtime.processes.push(Process { is_impostor: true, ..Process::new(start, life, self.now) });
    }
}

//! Does what a control plane calls for on the true state, with what can go wrong, and checks at once what a call must
//! never do. Which calls come, and in which order, is the doing of `dedi_control::carry_out`.

use dedi_domain::{EndpointId, FailureCause, Intent, Nonce, ReplicaId, Timestamp};

use crate::bug::Bug;
use crate::life::Sim;
use crate::life::fault::Fault;
use crate::life::running::Running;
use crate::trace::{Checked, broken};
use crate::world::devices::{DeviceSet, NEEDED_BYTES, set_of};
use crate::world::handle::{Answer, Call, Refusal};
use crate::world::runtime::{Done, Landing, Life, Start};
use crate::world::store::{Refused, Written};

impl Sim {
    /// The next call of a plan that is being carried out. A control plane that stood still goes on here, whoever leads
    /// by now.
    pub(crate) fn act(&mut self, who: usize) -> Checked {
        let Some(call) = self.controllers[who].running.as_mut().and_then(Running::take) else {
            return Ok(());
        };
        self.n_actions += 1;
        let is_command = matches!(call, Call::Ensure { .. } | Call::Remove { .. });
        let doubt = self.faults.has(Fault::CommitUnknown) && !is_command;
        if doubt && self.rng.percent(10) {
            self.trace.note(self.now, || format!("cp{who} could not {}", crate::life::words::call(&call)));
            self.answer(who, Err(Refusal::Unanswered));
            return Ok(());
        }
        // With the other half of the doubt the write is done and its answer lost; the plan goes on alike.
        let now = self.read_clock(who);
        let epoch = self.controllers[who].epoch;
        let answer = self.carry_out(who, &call, epoch, now)?;
        self.trace.note(self.now, || {
            let how = match answer {
                Ok(()) => "does",
                Err(Refusal::Fenced) => "is refused, for its lease is over, to",
                Err(Refusal::Conflict) => "finds it changed and does not",
                Err(Refusal::Unanswered | Refusal::NotStarted) => "fails to",
            };
            format!("cp{who} {how} {}", crate::life::words::call(&call))
        });
        self.answer(who, answer);
        Ok(())
    }

    /// Lets the control plane go on with the answer, up to its next call.
    fn answer(&mut self, who: usize, answer: Answer) {
        let now = self.read_clock(who);
        let running = &mut self.controllers[who].running;
        // It may have been killed by what it called.
        let goes_on = running.as_mut().is_some_and(|it| it.answer(now, answer));
        if !goes_on {
            *running = None;
        }
    }

    fn carry_out(
        &mut self,
        who: usize,
        call: &Call,
        epoch: u64,
        now: Timestamp,
    ) -> Result<Answer, Box<crate::trace::Violation>> {
        let store = &mut self.store;
        let done: Written = match call {
            Call::Reserve { endpoint, generation, ids, devices } => {
                if self.bug == Some(Bug::SpawnBeforeReserve) {
                    let start =
                        Start { replica: ids.0, nonce: ids.1, devices: set_of(devices), epoch, next: None };
                    self.runtime.ensure(start, self.now, self.store.lease.epoch);
                    self.check()?;
                }
                let done = self.store.reserve(epoch, *endpoint, *generation, *ids, devices, now);
                if done.is_ok() {
                    self.check_reserved(*endpoint, ids.0)?;
                }
                done
            }
            Call::Ensure { replica, nonce, devices } => {
                return Ok(self.ensure(who, (*replica, *nonce), *devices, epoch));
            }
            Call::MarkSeen { replica } => store.mark_seen(epoch, *replica, now),
            Call::MarkReady { replica } => store.mark_ready(epoch, *replica, now),
            Call::Fail { replica, cause, ran_until } => self.fail(*replica, (*cause, *ran_until), epoch, now),
            Call::Drain { replica, reason } => store.drain(epoch, *replica, *reason, now),
            Call::Stop { replica, reason, ran_until } => {
                if epoch == store.lease.epoch {
                    self.check_stop(*replica, now)?;
                }
                self.store.stop(epoch, *replica, *reason, *ran_until, now)
            }
            Call::Remove { replica, nonce } => self.remove(*replica, *nonce, epoch)?,
            Call::MarkGone { replica } => store.mark_gone(epoch, *replica, now),
            Call::Release { replica, is_all_back } => {
                if epoch == store.lease.epoch {
                    self.check_release(who, *replica, *is_all_back, now)?;
                }
                self.release(*replica, epoch, now)
            }
            Call::StopIdle { endpoint, generation } => {
                let done = store.stop_idle(epoch, *endpoint, *generation, now);
                if done.is_ok() {
                    self.ledger.stopped_idle(*endpoint, *generation);
                }
                done
            }
            Call::Publish { endpoint, from, state, generation } => {
                let before = store.view(*endpoint).map(|it| it.desired.clone());
                let done = store.publish(epoch, *endpoint, (*from, *state), *generation, now);
                if let (Ok(()), Some(before)) = (done, before) {
                    crate::check::check_step(before.published, *state, &before)?;
                }
                done
            }
            Call::Erase { endpoint } => {
                let before = store.view(*endpoint).map(|it| it.desired.published);
                let done = store.erase(epoch, *endpoint, now);
                if let (Ok(()), Some(before)) = (done, before) {
                    crate::check::check_erase(before)?;
                    self.ledger.erased(*endpoint)?;
                }
                done
            }
        };
        Ok(done.map_err(|refused| match refused {
            Refused::Epoch => Refusal::Fenced,
            Refused::Conflict => Refusal::Conflict,
        }))
    }

    fn ensure(
        &mut self,
        who: usize,
        (replica, nonce): (ReplicaId, Nonce),
        devices: DeviceSet,
        epoch: u64,
    ) -> Answer {
        let next = self.fate();
        let start = Start { replica, nonce, devices, epoch, next };
        if self.faults.has(Fault::LateSpawn) && self.rng.percent(15) {
            let at = self.now + self.rng.between(1_000, 40_000);
            self.runtime.landings.push(Landing { at, start });
            return Ok(());
        }
        if self.faults.has(Fault::HalfSpawn) && self.rng.percent(15) {
            self.runtime.write_down(start, self.now);
            self.kill(who);
            return Ok(());
        }
        let fails = self.faults.has(Fault::SpawnFails) && self.rng.percent(25);
        let done = if fails && self.rng.percent(50) {
            Done::Nothing
        } else {
            self.runtime.ensure(start, self.now, self.store.lease.epoch)
        };
        match done {
            Done::Refused => Err(Refusal::Fenced),
            // The control plane records it next, so that a crash can come between.
            Done::Started | Done::Nothing if fails => Err(Refusal::NotStarted),
            Done::Started | Done::Nothing => Ok(()),
        }
    }

    /// What a new engine will do by itself.
    fn fate(&mut self) -> Option<(i64, Life)> {
        let loads = if self.faults.has(Fault::SlowLoad) { 60_000 } else { 5_000 };
        let at = self.now + self.rng.between(500, loads);
        if self.faults.has(Fault::NeverReady) && self.rng.percent(20) {
            return None;
        }
        if self.faults.has(Fault::TerminalExit) && self.rng.percent(15) {
            return Some((at, Life::Exited(FailureCause::ModelUnusable)));
        }
        if self.faults.has(Fault::EngineDies) && self.rng.percent(30) {
            return Some((at, Life::Exited(FailureCause::EngineExited)));
        }
        Some((at, Life::Ready))
    }

    /// Launches that were answered by a timeout come about.
    pub(crate) fn land(&mut self) {
        let (due, later) =
            std::mem::take(&mut self.runtime.landings).into_iter().partition(|it| it.at <= self.now);
        self.runtime.landings = later;
        for it in due {
            let done = self.runtime.ensure(it.start, self.now, self.store.lease.epoch);
            self.trace.note(self.now, || format!("a late launch of {} lands: {done:?}", it.start.replica));
        }
    }

    fn fail(
        &mut self,
        replica: ReplicaId,
        (cause, ran_until): (FailureCause, Option<Timestamp>),
        epoch: u64,
        now: Timestamp,
    ) -> Written {
        let recorded = self.store.fail(epoch, replica, (cause, ran_until), now)?;
        if recorded && let Some(row) = self.store.row(replica) {
            let ready_for = row.ready_at.map(|it| now.since(it));
            let is_healthy = ready_for.is_some_and(|it| it >= self.settings.backoff.healthy_after);
            self.watch.failed(row.endpoint, cause, is_healthy, self.now);
        }
        Ok(())
    }

    fn remove(
        &mut self,
        replica: ReplicaId,
        nonce: Nonce,
        epoch: u64,
    ) -> Result<Written, Box<crate::trace::Violation>> {
        let slow = if self.faults.has(Fault::SlowExit) { 10_000 } else { 300 };
        let gone_at = self.now + self.rng.between(50, slow);
        let is_wanted = |row: &dedi_domain::ReplicaRow| !matches!(row.intent, Intent::Stop { .. });
        if epoch == self.store.lease.epoch
            && self.store.row(replica).is_some_and(|row| row.nonce == nonce && is_wanted(row))
        {
            return broken("S3", format!("{replica} is removed though its row is not told to stop"));
        }
        match self.runtime.remove(replica, nonce, epoch, gone_at, self.store.lease.epoch) {
            Done::Refused => Ok(Err(Refused::Epoch)),
            Done::Started | Done::Nothing => {
                self.check_only_told(replica)?;
                Ok(Ok(()))
            }
        }
    }

    fn release(&mut self, replica: ReplicaId, epoch: u64, now: Timestamp) -> Written {
        let endpoint = self.store.row(replica).map(|it| it.endpoint);
        let ended_well = self.store.release(epoch, replica, now)?;
        if let (true, Some(endpoint)) = (ended_well, endpoint) {
            self.watch.worked(endpoint);
        }
        Ok(())
    }

    /// S1, S2, S5, S15 for a row that was just written.
    fn check_reserved(&mut self, endpoint: EndpointId, replica: ReplicaId) -> Checked {
        let Some(view) = self.store.view(endpoint) else { return Ok(()) };
        let Some(row) = view.replicas.iter().map(|it| &it.row).find(|it| it.id == replica) else {
            return Ok(());
        };
        if !view.desired.wants_replicas() {
            return broken("S14", format!("{replica} is made for an endpoint that is not wanted up"));
        }
        let devices = set_of(&row.devices);
        if self.devices.leftover(devices, self.now) {
            return broken("S2", format!("{replica} gets devices whose memory is not back"));
        }
        if self.runtime.processes.iter().any(|it| it.life.is_alive() && it.devices & devices != 0) {
            return broken("S1", format!("{replica} gets devices that a live process uses"));
        }
        let max = view.desired.replicas.max();
        let n_running = view.replicas.iter().filter(|it| it.row.intent == Intent::Run).count();
        if n_running > max as usize || view.replicas.len() > (max + self.settings.surge) as usize {
            let n = view.replicas.len();
            return broken("S5", format!("{n} rows, {n_running} to run, of at most {max}"));
        }
        let is_clock_fair = !self.faults.has(Fault::ClockStep) && !self.had_clock_step;
        self.watch.check_launch(endpoint, self.now, is_clock_fair)
    }

    /// S11: a replica that still gets or has requests is stopped only when the wait for them is over.
    fn check_stop(&self, replica: ReplicaId, now: Timestamp) -> Checked {
        let Some(row) = self.store.row(replica) else { return Ok(()) };
        if !self.runtime.is_ready(replica) {
            return Ok(());
        }
        let is_overdue = match row.intent {
            Intent::Run => false,
            Intent::Drain { since, .. } => now.since(since) >= self.settings.drain_timeout,
            Intent::Stop { .. } => true,
        };
        let is_asked = self.gateway.applied.routed.iter().any(|it| it.1 == replica)
            || self.gateway.requests.running.iter().any(|it| it.replica == replica);
        if is_asked && !is_overdue {
            return broken("S11", format!("{replica} is stopped while it gets or has requests"));
        }
        Ok(())
    }

    /// S2: devices are freed only when processes are gone and their memory is back, or said not to be. What was not
    /// measured is not back.
    fn check_release(&self, who: usize, replica: ReplicaId, is_all_back: bool, now: Timestamp) -> Checked {
        let Some(running) = &self.controllers[who].running else { return Ok(()) };
        let measured = running.measured;
        let (leftover_bytes, said_unmeasured) = running.release_of(replica);
        if is_all_back && (leftover_bytes > 0 || said_unmeasured != 0) {
            return broken("S2", format!("{replica} is released and recorded as if all were back"));
        }
        let Some(row) = self.store.row(replica) else { return Ok(()) };
        let devices = set_of(&row.devices);
        let unmeasured = devices & !measured;
        if self.runtime.live(row.nonce).is_some() {
            return broken("S2", format!("{replica} is released while its process lives"));
        }
        if unmeasured != said_unmeasured {
            return broken("S2", format!("{replica} is released and its devices said to be measured"));
        }
        let was_awaited = row.gone_at.is_some_and(|it| now.since(it) >= self.settings.release_wait);
        if unmeasured != 0 && !was_awaited {
            return broken("S2", format!("{replica} is released at once though nothing was measured"));
        }
        let is_held = self.devices.leftover(devices & measured, self.now);
        if is_held && leftover_bytes == 0 {
            return broken("S2", format!("{replica} is released as if its memory were back"));
        }
        if leftover_bytes > NEEDED_BYTES * row.devices.len() as u64 {
            return broken("S2", format!("{replica} left more than it ever had"));
        }
        Ok(())
    }

    /// S3: no process was told to go but the one that was meant.
    fn check_only_told(&self, replica: ReplicaId) -> Checked {
        let Some(row) = self.store.row(replica) else { return Ok(()) };
        let is_hit = self
            .runtime
            .processes
            .iter()
            .any(|it| it.nonce == row.nonce && it.life == Life::Stopping && row.intent == Intent::Run);
        if is_hit && !self.outside_stops.contains(&row.nonce) {
            return broken("S3", format!("the wrong process of {replica} was told to go"));
        }
        Ok(())
    }
}

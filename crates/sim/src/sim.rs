//! One life: a host, its users and its control planes, under the faults that the seed drew.

use dedi_domain::reconcile::Settings;
use dedi_domain::{Action, FailureCause, Nonce, ReplicaId, ReplicaRange};

use crate::bug::Bug;
use crate::check_plan::settings;
use crate::clock::Clock;
use crate::controller::Controller;
use crate::devices::Devices;
use crate::fault::{Fault, Faults};
use crate::fetches::Download;
use crate::gateway::Gateway;
use crate::ledger::{Ledger, Watch};
use crate::rng::Rng;
use crate::runtime::{Life, Process, Runtime};
use crate::store::Store;
use crate::tenants::Tenants;
use crate::trace::{Checked, Trace, broken};
use crate::usage::Meter;
use crate::users::Racing;

/// How long a lease holds without being renewed.
pub(crate) const LEASE_MS: i64 = 5_000;
/// The true time at which every life begins.
const BIRTH: i64 = 1_000_000_000;

pub(crate) struct Sim {
    pub(crate) rng: Rng,
    pub(crate) now: i64,
    pub(crate) bug: Option<Bug>,
    pub(crate) faults: Faults,
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) runtime: Runtime,
    pub(crate) devices: Devices,
    pub(crate) gateway: Gateway,
    pub(crate) controllers: Vec<Controller>,
    pub(crate) ledger: Ledger,
    pub(crate) watch: Watch,
    pub(crate) racing: Option<Racing>,
    pub(crate) trace: Trace,
    pub(crate) had_clock_step: bool,
    /// Processes that somebody else told to go.
    pub(crate) outside_stops: Vec<Nonce>,
    /// How far down each row's intent has moved.
    pub(crate) ranks: Vec<(ReplicaId, u8)>,
    pub(crate) downloads: Vec<Download>,
    pub(crate) meter: Meter,
    pub(crate) n_blind: u32,
    pub(crate) n_decisions: u64,
    pub(crate) n_actions: u64,
    pub(crate) tenants: Tenants,
    pub(crate) first_range: ReplicaRange,
}

impl Sim {
    pub(crate) fn new(seed: u64, bug: Option<Bug>, is_traced: bool) -> Option<Self> {
        let mut rng = Rng::new(seed);
        let faults = Faults::draw(&mut rng);
        let devices = Devices::draw(&mut rng);
        let n_controllers = if faults.has(Fault::SecondController) { 2 } else { 1 };
        let mut controllers = Vec::new();
        for _ in 0..n_controllers {
            let steps = faults.has(Fault::ClockStep);
            let offset = if steps { rng.between(-3_600_000, 3_600_000) } else { 0 };
            let clock = Clock::start(BIRTH, offset, bug == Some(Bug::RawClock));
            controllers.push(Controller::start(clock, BIRTH));
        }
        let store = Store::new(bug);
        let mut it = Self {
            rng,
            now: BIRTH,
            bug,
            faults,
            settings: settings(),
            store,
            runtime: Runtime::new(bug),
            devices,
            gateway: Gateway::new(bug),
            controllers,
            ledger: Ledger::default(),
            watch: Watch::default(),
            racing: None,
            trace: Trace { is_on: is_traced, lines: Vec::new() },
            had_clock_step: faults.has(Fault::ClockStep),
            outside_stops: Vec::new(),
            ranks: Vec::new(),
            downloads: Vec::new(),
            meter: Meter::default(),
            n_blind: 0,
            n_decisions: 0,
            n_actions: 0,
            tenants: Tenants::new()?,
            first_range: ReplicaRange::new(1, 1).ok()?,
        };
        it.trace.note(BIRTH, || format!("faults: {}", faults.names().join(", ")));
        Some(it)
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// The stormy part.
    pub(crate) fn storm(&mut self) -> Checked {
        let n_events = self.rng.between(20, 100);
        for _ in 0..n_events {
            self.event()?;
            self.check()?;
        }
        Ok(())
    }

    fn event(&mut self) -> Checked {
        match self.rng.below(100) {
            0..=49 => self.controller_event(),
            50..=59 => self.user(),
            60..=71 => {
                let ms = match self.rng.below(10) {
                    0..=5 => self.rng.between(10, 1_000),
                    6..=8 => self.rng.between(1_000, 10_000),
                    _ => self.rng.between(10_000, 90_000),
                };
                self.advance(ms);
                if !self.faults.has(Fault::LateReports) {
                    self.gateway.tell(self.now);
                }
                Ok(())
            }
            72..=79 => {
                let is_late = self.faults.has(Fault::LateRoutes) && self.rng.percent(50);
                if !is_late {
                    let n = self.rng.between(1, 4);
                    self.gateway.apply(if n > 2 { usize::MAX } else { 1 });
                }
                let is_silent = self.faults.has(Fault::LateReports) && self.rng.percent(70);
                if !is_silent {
                    self.gateway.tell(self.now);
                }
                Ok(())
            }
            80..=86 => self.request(),
            87 if self.rng.percent(30) => self.calm(),
            _ => self.fault(),
        }
    }

    /// A while in which nobody asks for anything, long enough to be called idle.
    fn calm(&mut self) -> Checked {
        let n_steps = self.rng.between(15, 30);
        let is_silent = self.faults.has(Fault::LateReports) && self.rng.percent(50);
        for _ in 0..n_steps {
            self.advance(3_000);
            self.gateway.apply(usize::MAX);
            if !is_silent {
                self.gateway.tell(self.now);
            }
            self.controller_event()?;
            self.check()?;
        }
        Ok(())
    }

    fn controller_event(&mut self) -> Checked {
        let who = self.rng.below(self.controllers.len());
        if self.controllers[who].is_up {
            self.turn(who)
        } else {
            self.restart(who);
            Ok(())
        }
    }

    /// A few steps of a control plane: the rest of its plan, or a new look.
    fn turn(&mut self, who: usize) -> Checked {
        if self.faults.has(Fault::Pause) && !self.controllers[who].plan.is_empty() && self.rng.percent(30) {
            return Ok(());
        }
        if self.controllers[who].plan.is_empty() {
            self.look(who)?;
            self.check()?;
        }
        let n_steps = self.rng.between(1, 6);
        for _ in 0..n_steps {
            if self.controllers[who].plan.is_empty() {
                break;
            }
            if self.faults.has(Fault::Crash) && self.rng.percent(4) {
                self.kill(who);
                break;
            }
            // The idle rule is the one that can overrule a user, so users race it more often.
            let next = self.controllers[who].plan.last();
            let stops_idle = next.is_some_and(|it| matches!(it.action, Action::StopIdle { .. }));
            let chance = if stops_idle { 60 } else { 5 };
            if self.faults.has(Fault::RacingChange) && self.rng.percent(chance) {
                self.user()?;
                self.check()?;
            }
            self.act(who)?;
            self.check()?;
        }
        Ok(())
    }

    /// A request of an inference user, most often for an endpoint of its own tenant; or one of them leaves.
    fn request(&mut self) -> Checked {
        if self.rng.percent(5) {
            let at = self.rng.below(self.gateway.requests.running.len());
            self.gateway.leave(at, self.now);
            return Ok(());
        }
        let known = &self.gateway.applied.routes.routes;
        let Some(wanted) = known.get(self.rng.below(known.len())) else { return Ok(()) };
        let (id, owner) = (wanted.endpoint, wanted.owner.clone());
        let is_foreign = self.rng.percent(10);
        let Some(caller) = self.tenants.both.iter().find(|it| (it.owner == owner) != is_foreign) else {
            return Ok(());
        };
        let Some((caller, route)) = self.gateway.find(&id.to_string(), caller.key.reveal(), self.now) else {
            return Ok(());
        };
        if route.owner != caller {
            return broken("S13", format!("{caller} is answered by {id} of {}", route.owner));
        }
        let at = self.rng.below(route.replicas.len());
        let Some(replica) = route.replicas.get(at).map(|it| it.id) else {
            // One for a stopped endpoint is refused; the planted bug holds it too.
            if route.wakes_on_request || self.bug == Some(Bug::WakeStopped) {
                self.gateway.wait(id, self.now);
            }
            return Ok(());
        };
        let never = i64::MAX / 4;
        let is_stuck = self.faults.has(Fault::StuckRequest) && self.rng.percent(30);
        let (first, lasts) = match is_stuck {
            false => (self.rng.between(50, 2_000), self.rng.between(50, 20_000)),
            true if self.rng.percent(30) => (never, 0),
            true => (self.rng.between(50, 2_000), never),
        };
        self.gateway.begin((id, replica), self.runtime.is_ready(replica), (self.now, first, lasts));
        Ok(())
    }

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

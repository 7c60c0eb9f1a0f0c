//! One life: a host, its users and its control planes, under the faults that the seed drew.

mod act;
mod asking;
pub(crate) mod controller;
pub(crate) mod fault;
pub(crate) mod fetches;
mod mutate;
mod plan;
mod quiet;
mod routes;
pub(crate) mod running;
mod scaler;
mod storm;
mod time;
pub(crate) mod users;
mod words;

use dedi_domain::reconcile::Settings;
use dedi_domain::{EndReason, Nonce, ReplicaId, ReplicaRange};

use crate::bug::Bug;
use crate::check::ledger::{Ledger, Watch};
use crate::check::plan::settings;
use crate::check::usage::Meter;
use crate::life::controller::Controller;
use crate::life::fault::{Fault, Faults};
use crate::life::fetches::Download;
use crate::life::running::Running;
use crate::life::users::Racing;
use crate::rng::Rng;
use crate::trace::{Checked, Trace};
use crate::world::clock::Clock;
use crate::world::devices::Devices;
use crate::world::gateway::Gateway;
use crate::world::handle::Call;
use crate::world::runtime::Runtime;
use crate::world::store::Store;
use crate::world::tenants::Tenants;

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
    pub(crate) ranks: Vec<(ReplicaId, u8, Option<EndReason>)>,
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
        if self.faults.has(Fault::Pause) && self.controllers[who].running.is_some() && self.rng.percent(30) {
            return Ok(());
        }
        if self.controllers[who].running.is_none() {
            self.look(who)?;
            self.check()?;
        }
        let n_steps = self.rng.between(1, 6);
        for _ in 0..n_steps {
            if self.controllers[who].running.is_none() {
                break;
            }
            if self.faults.has(Fault::Crash) && self.rng.percent(4) {
                self.kill(who);
                break;
            }
            // The idle rule is the one that can overrule a user, so users race it more often.
            let next = self.controllers[who].running.as_ref().and_then(Running::next);
            let stops_idle = matches!(next, Some(Call::StopIdle { .. }));
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
}

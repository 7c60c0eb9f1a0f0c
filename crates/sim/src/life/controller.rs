//! One control plane: looks, decides, and carries its plan out one action at a time. Everything it remembers
//! is lost when it is killed.

use std::sync::Arc;

use dedi_domain::reconcile::{EndpointView, Observation, World};
use dedi_domain::route::{Published, RouteTable};
use dedi_domain::{Capabilities, Intent, Quarantine, ReplicaPhase, Timestamp};

use crate::bug::Bug;
use crate::life::fault::Fault;
use crate::life::running::Running;
use crate::life::scaler::Scaler;
use crate::life::{LEASE_MS, Sim};
use crate::trace::Checked;
use crate::world::clock::Clock;
use crate::world::gateway::REPORT_AGE_MAX;

pub(crate) struct Controller {
    pub(crate) is_up: bool,
    pub(crate) epoch: u64,
    /// The plan that is being carried out.
    pub(crate) running: Option<Running>,
    pub(crate) clock: Clock,
    pub(crate) opened_at: Timestamp,
    scaler: Scaler,
    pub(crate) published: Published,
    /// The table that is out.
    pub(crate) table: Arc<RouteTable>,
    /// Rows that were read before the rest of the look.
    early_rows: Option<Vec<EndpointView>>,
}

impl Controller {
    pub(crate) fn start(clock: Clock, now: i64) -> Self {
        let mut clock = clock;
        let opened_at = clock.read(now, Timestamp(i64::MIN));
        Self {
            is_up: true,
            epoch: 0,
            running: None,
            clock,
            opened_at,
            scaler: Scaler::default(),
            published: Published::default(),
            table: Arc::default(),
            early_rows: None,
        }
    }

    fn kill(&mut self) {
        self.is_up = false;
        self.running = None;
        self.early_rows = None;
    }
}

impl Sim {
    /// Kills a control plane. A launch it had under way is lost, or lands at once.
    pub(crate) fn kill(&mut self, who: usize) {
        let epoch = self.controllers[who].epoch;
        self.controllers[who].kill();
        let now = self.now;
        let lands = self.rng.percent(50);
        for it in &mut self.runtime.landings {
            if it.start.epoch == epoch {
                it.at = if lands { now } else { i64::MAX };
            }
        }
        self.runtime.landings.retain(|it| it.at != i64::MAX);
        self.land();
        self.trace.note(now, || format!("cp{who} is killed"));
    }

    pub(crate) fn restart(&mut self, who: usize) {
        let offset = self.controllers[who].clock.wall_offset;
        let clock = Clock::start(self.now, offset, self.has(Bug::RawClock));
        self.controllers[who] = Controller::start(clock, self.now);
        self.trace.note(self.now, || format!("cp{who} starts"));
    }

    pub(crate) fn read_clock(&mut self, who: usize) -> Timestamp {
        let newest = self.store.newest;
        self.controllers[who].clock.read(self.now, newest)
    }

    /// Holds the lease, or takes it when it is free.
    fn lead(&mut self, who: usize) -> bool {
        let lease = &mut self.store.lease;
        let is_held = self.controllers[who].epoch == lease.epoch && lease.epoch > 0 && lease.holder == who;
        if is_held && self.now < lease.until {
            lease.until = self.now + LEASE_MS;
            return true;
        }
        if self.now < lease.until || (self.bug == Some(Bug::NoTakeover) && lease.epoch > 0) {
            return false;
        }
        lease.epoch += 1;
        lease.holder = who;
        lease.until = self.now + LEASE_MS;
        let epoch = lease.epoch;
        // A new reign remembers nothing of an older one: tables in between may have been another's.
        let clock = self.controllers[who].clock;
        let is_first = self.controllers[who].epoch == 0;
        if !is_first {
            self.controllers[who] = Controller::start(clock, self.now);
        }
        let used = if self.has(Bug::VersionRestarts) { 0 } else { epoch << 32 };
        self.controllers[who].published = Published::above(used);
        self.controllers[who].epoch = epoch;
        self.trace.note(self.now, || format!("cp{who} leads with epoch {epoch}"));
        true
    }

    /// One look and one decision; the plan is carried out by [`Sim::act`].
    pub(crate) fn look(&mut self, who: usize) -> Checked {
        if !self.lead(who) {
            return Ok(());
        }
        if self.faults.has(Fault::StaleRows)
            && self.rng.percent(30)
            && self.controllers[who].early_rows.is_none()
        {
            self.controllers[who].early_rows = Some(self.store.endpoints.clone());
            return Ok(());
        }
        if self.faults.has(Fault::StoreFails) && self.rng.percent(15) {
            if !self.has(Bug::StoreFailureIsEmpty) {
                return Ok(());
            }
            self.controllers[who].early_rows = Some(Vec::new());
        }
        let now = self.read_clock(who);
        let epoch = self.controllers[who].epoch;
        if self.has(Bug::InventoryFirst) {
            self.devices.measure(self.now);
            let ms = self.rng.between(0, 3_000);
            self.advance(ms);
        }
        let (observation, listed_at) = self.list(epoch, now);
        if !self.has(Bug::InventoryFirst) {
            if self.rng.percent(10) {
                self.advance(200);
            }
            self.devices.measure(self.now);
        }
        let early = self.controllers[who].early_rows.take();
        let truth = std::mem::take(&mut self.store.endpoints);
        let (mut rows, kept) = match early {
            Some(early) => (early, Some(truth)),
            None => (truth, None),
        };
        if self.faults.has(Fault::Shuffle) {
            self.rng.shuffle(&mut rows);
            for it in &mut rows {
                self.rng.shuffle(&mut it.replicas);
            }
        }
        self.fill(who, &mut rows, now);
        let world = World {
            now,
            endpoints: rows,
            quarantine: Quarantine::default(),
            observation,
            listed_at,
            inventory: std::mem::take(&mut self.devices.measured),
            capabilities: Capabilities::default(),
            settings: self.settings,
        };
        let outcome = self.plan(who, &world);
        self.devices.measured = world.inventory;
        self.store.endpoints = kept.unwrap_or(world.endpoints);
        outcome
    }

    /// What the runtime shows, and when that was so.
    fn list(&mut self, epoch: u64, now: Timestamp) -> (Observation, Timestamp) {
        let fails = self.faults.has(Fault::ListFails) && self.rng.percent(15);
        let is_late = self.faults.has(Fault::LateList) && self.rng.percent(40);
        let listed = if fails { None } else { self.runtime.list(epoch, self.now, now, is_late) };
        let Some((mut listed, true_at)) = listed else {
            let is_empty = fails && self.has(Bug::UnknownIsEmpty);
            return (if is_empty { Observation::Known(Vec::new()) } else { Observation::Unknown }, now);
        };
        if self.has(Bug::PartialList) && !listed.is_empty() && self.rng.percent(20) {
            let at = self.rng.below(listed.len());
            listed.swap_remove(at);
        }
        if self.faults.has(Fault::DuplicateList) && !listed.is_empty() && self.rng.percent(40) {
            let at = self.rng.below(listed.len());
            let mut again = listed[at].clone();
            if matches!(again.phase, ReplicaPhase::Ready { .. }) && self.rng.percent(50) {
                again.phase = ReplicaPhase::Launching { progress_at: now, percent: None };
            }
            listed.push(again);
        }
        if self.faults.has(Fault::Shuffle) {
            self.rng.shuffle(&mut listed);
        }
        (Observation::Known(listed), Timestamp(now.0 - (self.now - true_at)))
    }

    /// What is known besides rows, as the control plane puts it together.
    fn fill(&mut self, who: usize, rows: &mut [EndpointView], now: Timestamp) {
        let report = &self.gateway.report;
        let age = self.now - report.at;
        let is_fresh = report.at > 0 && age <= REPORT_AGE_MAX;
        let controller = &mut self.controllers[who];
        for view in rows {
            let load = report.loads.iter().find(|it| it.0 == view.desired.id).map(|it| it.1);
            let stamped = load.map(|mut it| {
                it.last_finished_at = it.last_finished_at.map(|at| Timestamp(now.0 - (self.now - at.0)));
                it
            });
            view.load = is_fresh.then(|| stamped.unwrap_or_default());
            let n_running = view.replicas.iter().filter(|it| it.row.intent == Intent::Run).count();
            let n_running = u32::try_from(n_running).unwrap_or(u32::MAX);
            let (target, is_blind) =
                controller.scaler.target(self.bug, &view.desired, n_running, view.load, now);
            view.target = target;
            self.n_blind += u32::from(is_blind);
            view.last_activity = view
                .replicas
                .iter()
                .filter_map(|it| it.row.ready_at)
                .chain(view.load.and_then(|it| it.last_finished_at))
                .chain([view.desired.published_at, view.desired.started_at, controller.opened_at])
                .max()
                .unwrap_or(now);
            for it in &mut view.replicas {
                let absent = controller.published.absent_since(it.row.id);
                it.out_of_routing = absent.is_some_and(|version| report.version >= version);
                let running = report.in_flight.iter().find(|known| known.0 == it.row.id);
                it.in_flight = running.map_or(0, |known| known.1);
            }
        }
    }
}

//! The quiet part: no fault any more, the clock runs on. What is wanted must come about and then stay. Faulty
//! devices, strangers' memory and requests that never end stay as they are: nobody but users could end them.

use dedi_domain::hardware::Health;
use dedi_domain::reconcile::{EndpointView, Observation, World};
use dedi_domain::status::explain;
use dedi_domain::{Capabilities, EndpointState, Intent, Quarantine, Timestamp};

use crate::life::Sim;
use crate::life::fault::Faults;
use crate::trace::{Checked, broken};
use crate::world::devices::{NEEDED_BYTES, PRODUCTS, set_of};
use crate::world::runtime::Life;

/// Passes without any action that count as rest.
const PASSES_AT_REST: u32 = 10;
/// The longest that anything may take: the longest back-off, then everything else once.
const HORIZON_MS: i64 = 900_000;
/// Drain, grace, device memory and a little.
const DELETE_MS: i64 = 30_000 + 10_000 + 30_000 + 10_000;
/// A new leader is there.
const LEADER_MS: i64 = 10_000;
/// Without any failure: drain, grace, memory, the longest loading, falling asleep, and the specification's 30 seconds.
const SMOOTH_MS: i64 = 30_000 + 10_000 + 30_000 + 60_000 + 30_000 + 60_000;
const GAP_FIRST_MS: i64 = 200;
const GAP_MAX_MS: i64 = 60_000;

impl Sim {
    pub(crate) fn quiet(&mut self) -> Checked {
        let begun = self.now;
        self.faults = Faults::none();
        self.end_fetches();
        self.trace.note(begun, || "the quiet part begins".to_owned());
        for it in self.devices.truth.iter_mut().filter(|it| it.held_until > begun) {
            // Some memory never comes back.
            it.held_until = if self.rng.percent(30) { i64::MAX } else { it.held_until.min(begun + 60_000) };
        }
        for who in 0..self.controllers.len() {
            if !self.controllers[who].is_up {
                self.restart(who);
            }
        }
        let mut gap = GAP_FIRST_MS;
        let mut n_at_rest = 0;
        // From an inactivity stop, a launch and the end of a request the bounds count anew: others may follow on its
        // devices, and what has nothing more to do falls asleep.
        let mut turned = (self.n_begun(), begun);
        // While a launch is under way nobody sees what runs, so nothing is decided.
        let mut seen_from = begun;
        while n_at_rest < PASSES_AT_REST {
            let since = self.now - begun;
            if since > HORIZON_MS + 200_000 {
                let why = self.unsettled().unwrap_or_else(|| "it never comes to rest".to_owned());
                return broken("L1", why);
            }
            if self.n_begun() != turned.0 {
                turned = (self.n_begun(), self.now);
            }
            if !self.runtime.landings.is_empty() {
                seen_from = self.now;
            }
            self.check_bounds(begun, seen_from, turned.1)?;
            let n_before = self.n_actions;
            self.step()?;
            let is_idle = self.n_actions == n_before;
            let unsettled = if is_idle { self.unsettled() } else { None };
            if is_idle && unsettled.is_none() {
                n_at_rest += 1;
                gap = (gap * 2).min(GAP_MAX_MS);
            } else {
                n_at_rest = 0;
                gap = if is_idle { (gap * 2).min(2_000) } else { GAP_FIRST_MS };
            }
            self.advance(gap);
            self.check()?;
        }
        self.check_errors()?;
        self.check_leak()
    }

    /// One round: the gateway catches up, then each control plane looks and carries its plan out.
    fn step(&mut self) -> Checked {
        self.gateway.apply(usize::MAX);
        self.gateway.tell(self.now);
        for who in 0..self.controllers.len() {
            while self.controllers[who].running.is_some() {
                self.act(who)?;
                self.check()?;
            }
            self.look(who)?;
            self.check()?;
            while self.controllers[who].running.is_some() {
                self.act(who)?;
                self.check()?;
            }
        }
        Ok(())
    }

    fn n_begun(&self) -> u64 {
        let generations: u64 = self.store.endpoints.iter().map(|it| it.desired.generation).sum();
        generations + self.store.n_reserved() + self.gateway.requests.n_ended() as u64
    }

    fn check_bounds(&self, begun: i64, seen_from: i64, turned_at: i64) -> Checked {
        let since = self.now - begun;
        if since > LEADER_MS && self.store.lease.until < self.now - LEADER_MS - GAP_MAX_MS {
            return broken("L6", "nobody leads");
        }
        let deleted = self.store.endpoints.iter().find(|it| it.desired.deleted);
        if let Some(view) = deleted
            && self.now - seen_from > DELETE_MS
        {
            return broken("L2", format!("{} is deleted and still there", view.desired.id));
        }
        if self.now - turned_at > SMOOTH_MS
            && let Some(why) = self.unsettled()
            && !self.store.endpoints.iter().any(|it| self.watch.has_failed(it.desired.id))
            && !self.runtime.processes.iter().any(|it| it.life == Life::Loading && it.next.is_none())
        {
            return broken("L1", format!("nothing failed, and yet {why}"));
        }
        Ok(())
    }

    /// The first thing that is not as it should be in the end.
    fn unsettled(&self) -> Option<String> {
        for it in &self.runtime.processes {
            let row = self.store.row(it.replica).filter(|row| row.nonce == it.nonce);
            if row.is_none() {
                return Some(format!("a process of {} is left, which no row knows", it.replica));
            }
        }
        let mut waiting: Vec<&EndpointView> = Vec::new();
        for view in &self.store.endpoints {
            match self.endpoint_unsettled(view) {
                Settled::Yes => {}
                Settled::Waits => waiting.push(view),
                Settled::No(why) => return Some(why),
            }
        }
        self.unserved(waiting)
    }

    fn endpoint_unsettled(&self, view: &EndpointView) -> Settled {
        let it = &view.desired;
        let no = |why: &str| Settled::No(format!("{} ({}) {why}", it.id, it.published));
        if it.deleted {
            return no("is deleted and still there");
        }
        if it.observed_generation != it.generation {
            return no("has a change that no pass has seen");
        }
        if !it.wants_replicas() {
            let is_stopped = it.published == EndpointState::Stopped && view.replicas.is_empty();
            return if is_stopped { Settled::Yes } else { no("is not stopped") };
        }
        if view.replicas.iter().any(|it| it.row.intent != Intent::Run) {
            return no("has replicas that are leaving");
        }
        let bearing = self.devices.bearing();
        let serves = |row: &dedi_domain::ReplicaRow| {
            let is_ready = self.runtime.live(row.nonce).is_some_and(|it| it.life == Life::Ready);
            is_ready && set_of(&row.devices) & !bearing == 0
        };
        if !view.replicas.iter().all(|it| serves(&it.row)) {
            return no("has a replica that does not serve");
        }
        let n = view.replicas.len();
        let wanted = view.target.clamp(it.replicas.min(), it.replicas.max()) as usize;
        let shown = it.published;
        if self.watch.is_terminal(it.id) && n < wanted {
            let is_said =
                (n == 0 && shown == EndpointState::Error) || (n > 0 && shown == EndpointState::Started);
            return if is_said { Settled::Yes } else { no("has failed for good and does not say so") };
        }
        if n > wanted {
            return no("has more replicas than are wanted");
        }
        let has_work = self.gateway.has_work(it.id);
        if n > 0 && it.replicas.min() == 0 && shown == EndpointState::Started && !has_work {
            return no("has nothing to do and does not sleep");
        }
        if n == wanted {
            return if shown == EndpointState::Started {
                Settled::Yes
            } else {
                no("is up and does not say so")
            };
        }
        match (n, shown) {
            (0, EndpointState::Pending) => Settled::Waits,
            (0, EndpointState::Error) if self.watch.has_failed(it.id) => Settled::Waits,
            (_, EndpointState::Started) if n > 0 => Settled::Waits,
            _ => no("waits for devices and does not say so"),
        }
    }

    /// L3: whoever waits, waits for devices that are not there, or behind somebody who does.
    fn unserved(&self, mut waiting: Vec<&EndpointView>) -> Option<String> {
        waiting.sort_by_key(|it| {
            let has_minimum = it.replicas.len() >= it.desired.replicas.min().max(1) as usize;
            (has_minimum, it.desired.started_at, it.desired.id)
        });
        let held = self
            .store
            .endpoints
            .iter()
            .flat_map(|it| &it.replicas)
            .fold(0, |sum, it| sum | set_of(&it.row.devices));
        let mut blocked = [false, false];
        for view in waiting {
            let hardware = &view.desired.hardware;
            let kind = usize::from(hardware.kind_name().starts_with(PRODUCTS[1]));
            let n_needed = hardware.count() as usize;
            let of_kind: Vec<_> = (0..self.devices.count())
                .filter(|at| self.devices.kind_of(*at) == kind)
                .filter(|at| self.devices.truth[*at].is_healthy && self.devices.truth[*at].is_present)
                .collect();
            if of_kind.len() < n_needed || blocked[kind] {
                continue;
            }
            let free: Vec<usize> = of_kind.into_iter().filter(|at| held & (1 << at) == 0).collect();
            if free.len() < n_needed {
                blocked[kind] = true;
                continue;
            }
            let is_able = |at: &&usize| {
                let it = &self.devices.truth[**at];
                !it.has_foreign && it.held_until <= self.now
            };
            if free.iter().filter(is_able).count() >= n_needed {
                return Some(format!("{} waits though {n_needed} devices are free", view.desired.id));
            }
        }
        None
    }

    /// L4: an error says why, and when it is tried again or that it is not.
    /// L7: what is held is what live processes use.
    fn check_leak(&self) -> Checked {
        let rows = self.store.endpoints.iter().flat_map(|it| &it.replicas);
        let held = rows.fold(0, |sum, it| sum | set_of(&it.row.devices));
        let live = self.runtime.processes.iter().filter(|it| it.life.is_alive());
        let used = live.fold(0, |sum, it| sum | it.devices);
        if held != used {
            return broken("L7", format!("devices {held:b} are held, {used:b} are used"));
        }
        Ok(())
    }

    fn check_errors(&mut self) -> Checked {
        if !self.store.endpoints.iter().any(|it| it.desired.published == EndpointState::Error) {
            return Ok(());
        }
        let now: Timestamp = self.read_clock(0);
        self.devices.measure(self.now);
        let world = World {
            now,
            endpoints: self.store.endpoints.clone(),
            quarantine: Quarantine::default(),
            observation: Observation::Known(Vec::new()),
            listed_at: now,
            inventory: self.devices.measured.clone(),
            capabilities: Capabilities::default(),
            settings: self.settings,
        };
        debug_assert!(
            world
                .inventory
                .devices
                .iter()
                .all(|it| { it.health != Health::Healthy || it.memory_total_bytes >= NEEDED_BYTES })
        );
        for view in world.endpoints.iter().filter(|it| it.desired.published == EndpointState::Error) {
            let status = explain(view, &world);
            let is_terminal = status.last_failure.as_ref().is_some_and(|it| it.cause.is_terminal());
            if status.reason.message.is_empty() || (status.next_retry_at.is_none() && !is_terminal) {
                return broken("L4", format!("{} shows ERROR without a way on", view.desired.id));
            }
        }
        Ok(())
    }
}

enum Settled {
    Yes,
    Waits,
    No(String),
}

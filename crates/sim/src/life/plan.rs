//! The decision of one look, and what is published and recorded beside it.

use dedi_domain::hardware::Health;
use dedi_domain::reconcile::{Observation, World};
use dedi_domain::{Action, Quarantine};

use super::mutate;
use crate::bug::Bug;
use crate::check::plan::check_plan;
use crate::life::Sim;
use crate::life::fault::Fault;
use crate::life::running::Running;
use crate::trace::{Checked, broken};
use crate::world::devices::{DeviceSet, bit};

impl Sim {
    pub(crate) fn plan(&mut self, who: usize, world: &World) -> Checked {
        let rest = self.quarantine(world);
        let is_unread = rest.is_some() && self.rng.percent(50);
        let readable = rest.as_ref().filter(|_| is_unread).unwrap_or(world);
        self.publish_routes(who, readable)?;
        self.beat(self.controllers[who].epoch, readable, world.now);
        let (quarantine, actions) = match rest {
            Some(rest) => (rest.quarantine.clone(), mutate::decide(self.bug, &rest)),
            None => (Quarantine::default(), mutate::decide(self.bug, world)),
        };
        check_plan(world, &quarantine, &actions)?;
        let shows = |it: &Action| matches!(it, Action::Publish { from, state, .. } if from != state);
        if actions.iter().any(shows) {
            self.check_explained(world)?;
        }
        if self.faults.has(Fault::Shuffle) && self.rng.percent(10) {
            self.check_order(world)?;
        }
        self.controllers[who].running = None;
        let measured = world
            .inventory
            .devices
            .iter()
            .filter(|it| it.health == Health::Healthy)
            .fold(0, |sum: DeviceSet, it| sum | bit(&it.id));
        self.n_decisions += 1;
        let trace_now = self.now;
        self.trace.note(trace_now, || {
            let words: Vec<String> = actions.iter().map(crate::life::words::action).collect();
            format!(
                "cp{who} decides: {}",
                if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
            )
        });
        if actions.is_empty() {
            return Ok(());
        }
        let seed = self.rng.between(0, i64::MAX - 1).unsigned_abs();
        let running = Running::start(world.clone(), actions, measured, seed, world.now);
        self.controllers[who].running = running.next().is_some().then_some(running);
        Ok(())
    }

    /// The world without an endpoint that can't be decided about now, where there is one.
    fn quarantine(&mut self, world: &World) -> Option<World> {
        if !self.faults.has(Fault::SetAside) || world.endpoints.is_empty() || !self.rng.percent(20) {
            return None;
        }
        let mut rest = world.clone();
        let at = self.rng.below(rest.endpoints.len());
        rest.quarantine(world.endpoints[at].desired.id);
        if self.has(Bug::AsideIsGone) {
            rest.quarantine = Quarantine::default();
        }
        Some(rest)
    }

    /// S16: another order of the same things gives the same decisions.
    fn check_order(&mut self, world: &World) -> Checked {
        let mut other = world.clone();
        self.rng.shuffle(&mut other.endpoints);
        for it in &mut other.endpoints {
            self.rng.shuffle(&mut it.replicas);
        }
        self.rng.shuffle(&mut other.inventory.devices);
        if let Observation::Known(listed) = &mut other.observation {
            self.rng.shuffle(listed);
        }
        let order = |it: &Action| format!("{it:?}");
        let bug = self.bug.filter(|it| *it == Bug::OrderMatters);
        let mut one = mutate::decide(bug, world);
        let mut two = mutate::decide(bug, &other);
        one.sort_by_key(order);
        two.sort_by_key(order);
        if one != two {
            return broken("S16", format!("the order decides: {one:?} or {two:?}"));
        }
        Ok(())
    }
}

//! What users were told. The rows must say the same after every event: nothing acknowledged is lost, taken
//! back or done twice.

use std::time::Duration;

use dedi_domain::{EndpointId, FailureCause, ReplicaRange, Run, Timestamp};

use crate::life::users::Wish;
use crate::trace::{Checked, broken};
use crate::world::store::Store;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) id: EndpointId,
    pub(crate) generation: u64,
    pub(crate) run: Run,
    pub(crate) range: ReplicaRange,
    pub(crate) idle_minutes: Option<u32>,
    pub(crate) deleted: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) told: Vec<Told>,
    erased: Vec<EndpointId>,
}

impl Ledger {
    /// A wish was acknowledged.
    pub(crate) fn acknowledge(&mut self, id: EndpointId, wish: Wish) {
        let Some(it) = self.told.iter_mut().find(|it| it.id == id) else { return };
        it.generation += 1;
        match wish {
            Wish::Start => it.run = Run::Started,
            Wish::Stop => it.run = Run::Stopped,
            Wish::Range(range) => it.range = range,
            Wish::Idle(minutes) => it.idle_minutes = minutes,
            Wish::Delete => it.deleted = true,
        }
    }

    /// The idle rule stopped it, which it may only on the generation that it saw.
    pub(crate) fn stopped_idle(&mut self, id: EndpointId, generation: u64) {
        let known = self.told.iter_mut().find(|it| it.id == id && it.generation == generation);
        if let Some(it) = known {
            it.generation += 1;
            it.run = Run::Stopped;
        }
    }

    pub(crate) fn erased(&mut self, id: EndpointId) -> Checked {
        let was_told = self.told.iter().any(|it| it.id == id && it.deleted);
        if !was_told {
            return broken("S4", format!("{id} is erased though nobody deleted it"));
        }
        self.told.retain(|it| it.id != id);
        self.erased.push(id);
        Ok(())
    }

    /// S4.
    pub(crate) fn check(&self, store: &Store) -> Checked {
        if store.endpoints.len() != self.told.len() {
            let (n, n_told) = (store.endpoints.len(), self.told.len());
            return broken("S4", format!("there are {n} endpoints; users know of {n_told}"));
        }
        for told in &self.told {
            let Some(view) = store.view(told.id) else {
                return broken("S4", format!("{} is lost", told.id));
            };
            let it = &view.desired;
            let is_as_told = it.generation == told.generation
                && it.run == told.run
                && it.replicas == told.range
                && it.inactive_timeout_minutes == told.idle_minutes
                && it.deleted == told.deleted;
            if !is_as_told {
                return broken(
                    "S4",
                    format!(
                        "{} has generation {}, {:?}, deleted {}; told was {told:?}",
                        it.id, it.generation, it.run, it.deleted
                    ),
                );
            }
            if self.erased.contains(&told.id) {
                return broken("S4", format!("{} came back", told.id));
            }
        }
        Ok(())
    }
}

/// Failures as they happened, counted apart from the decision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    seen: Vec<Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    endpoint: EndpointId,
    n_failures: u32,
    /// When the first of the last failures was that came in one moment.
    moment_at: i64,
    last_at: i64,
    is_terminal: bool,
}

/// Failures closer together than this are those of one moment: no launch comes between them.
const MOMENT_MS: i64 = 800;

/// Share of the full wait that the jitter may take off, and a little for rounding.
const SHORTEST_SHARE: f64 = 0.79;

impl Watch {
    pub(crate) fn failed(&mut self, endpoint: EndpointId, cause: FailureCause, was_healthy: bool, at: i64) {
        if !cause.counts() {
            return;
        }
        let is_terminal = cause.is_terminal();
        match self.seen.iter_mut().find(|it| it.endpoint == endpoint) {
            Some(it) => {
                if was_healthy {
                    it.n_failures = 1;
                    it.moment_at = at;
                } else if at - it.moment_at >= MOMENT_MS {
                    it.n_failures += 1;
                    it.moment_at = at;
                }
                it.last_at = at;
                it.is_terminal = is_terminal;
            }
            None => self.seen.push(Seen { endpoint, n_failures: 1, moment_at: at, last_at: at, is_terminal }),
        }
    }

    /// A replica ended well, or the user started it anew: what was before no longer counts.
    pub(crate) fn worked(&mut self, endpoint: EndpointId) {
        self.seen.retain(|it| it.endpoint != endpoint);
    }

    pub(crate) fn is_terminal(&self, endpoint: EndpointId) -> bool {
        self.seen.iter().any(|it| it.endpoint == endpoint && it.is_terminal)
    }

    pub(crate) fn has_failed(&self, endpoint: EndpointId) -> bool {
        self.seen.iter().any(|it| it.endpoint == endpoint)
    }

    /// S15: launches after failures are rare, and none follows a failure that can't be mended.
    pub(crate) fn check_launch(&self, endpoint: EndpointId, now: i64, is_clock_fair: bool) -> Checked {
        let Some(it) = self.seen.iter().find(|it| it.endpoint == endpoint) else { return Ok(()) };
        if it.is_terminal {
            return broken("S15", format!("{endpoint} is launched after a failure that stays"));
        }
        let doubled = Duration::from_secs(1).saturating_mul(1 << (it.n_failures - 1).min(20));
        let least = doubled.min(Duration::from_secs(300)).mul_f64(SHORTEST_SHARE);
        let waited = Timestamp(now).since(Timestamp(it.last_at));
        if is_clock_fair && waited < least {
            return broken(
                "S15",
                format!("{endpoint} is launched {waited:?} after failure {}", it.n_failures),
            );
        }
        Ok(())
    }
}

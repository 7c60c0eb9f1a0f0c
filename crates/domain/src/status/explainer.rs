//! One world, looked at once for all the endpoints that are to be explained.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use crate::failure::Failure;
use crate::fetch::Fetch;
use crate::ids::EndpointId;
use crate::placement::Shortage;
use crate::reconcile::launches;
use crate::replica::{ReplicaPhase, ReplicaRow};
use crate::world::{EndpointView, Observation, Seen, World, by_mark, phase_of};

/// One world, looked at once for all the endpoints that are to be explained.
#[derive(Debug)]
pub struct Explainer<'a> {
    pub(super) world: &'a World,
    seen: Seen<'a>,
    /// What is short for whom; worked out when the first endpoint asks.
    shortages: OnceCell<BTreeMap<EndpointId, Shortage>>,
}

impl<'a> Explainer<'a> {
    /// Looks at `world`.
    pub fn new(world: &'a World) -> Self {
        let seen = match &world.observation {
            Observation::Known(observed) => by_mark(observed),
            Observation::Unknown => Seen::new(),
        };
        Self { world, seen, shortages: OnceCell::new() }
    }

    /// What is seen of a row's own process.
    pub(crate) fn phase(&self, row: &ReplicaRow) -> Option<&'a ReplicaPhase> {
        phase_of(row, &self.seen)
    }

    /// What the row's engine said instead of its first token.
    pub(crate) fn unready(&self, row: &ReplicaRow) -> Option<&'a str> {
        self.seen.get(&(row.id, row.nonce)).and_then(|it| it.unready.as_deref())
    }

    /// What is short for it, if anything is.
    pub(super) fn shortage(&self, id: EndpointId) -> Option<&Shortage> {
        let all = self.shortages.get_or_init(|| {
            if self.world.observation == Observation::Unknown {
                return BTreeMap::new();
            }
            let endpoints: Vec<&EndpointView> = self.world.endpoints.iter().collect();
            let mut short = BTreeMap::new();
            for (id, devices) in launches(&endpoints, &self.seen, self.world) {
                if let Err(why) = devices {
                    short.entry(id).or_insert(why);
                }
            }
            short
        });
        all.get(&id)
    }
}

/// Which of others' words a reason may repeat.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) fetch: Option<&'a Fetch>,
    /// None that the engine has logged.
    pub(super) is_for_all: bool,
}

/// The failures of this run that are held against it, oldest first.
pub(super) fn counted(view: &EndpointView) -> impl DoubleEndedIterator<Item = &Failure> {
    view.failures.iter().filter(|it| it.at >= view.desired.started_at && it.cause.counts())
}

//! The rows, and the rules by which they change. The real store must keep the same rules:
//!
//! - every write of a pass names the lease epoch it was decided under; one of another epoch is refused.
//! - `reserve` names the generation it was decided on; it is refused when the wish has changed since, when
//!   the endpoint is not wanted up, or when another row holds one of the devices. The attempt number grows.
//! - an intent only moves down: run, drain, stop. Repeating a move changes nothing, its time included.
//! - `fail` records the cause once and turns the row to stop in one transaction. A row that was told to stop
//!   before has no failure to record.
//! - a running time begins with the first `mark_ready`, is moved on by beats, and is closed in the transaction that
//!   turns the row to stop, by what is known then; it never goes back, and nothing moves a closed one.
//! - `release` deletes only a row that was told to stop. When the replica had been ready and ended without a
//!   cause, the endpoint's failures before that are forgotten: it works.
//! - `publish` is refused unless state and generation are what the pass saw; `observed_generation` never
//!   passes `generation`.
//! - `stop_idle` is refused unless the generation is what the pass saw.
//! - `erase` is refused while a replica row exists; the id is remembered and never comes back.
//! - a start is stamped later than every failure before it.
//! - a change by a user is one read and one write, refused when the generation or the shown state has moved
//!   between them.

mod pass;
pub(crate) mod ran;

use dedi_domain::reconcile::EndpointView;
use dedi_domain::{Desired, EndpointId, EndpointState, Owner, ReplicaId, ReplicaRow, Timestamp};

use self::ran::{Happened, Ran};
use crate::bug::Bug;

/// Why a write was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The writer's lease is not the current one.
    Epoch,
    /// The row has moved on.
    Conflict,
}

pub(crate) type Written = Result<(), Refused>;

/// Who may change rows and processes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lease {
    pub(crate) epoch: u64,
    pub(crate) holder: usize,
    pub(crate) until: i64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    bug: Option<Bug>,
    pub(crate) endpoints: Vec<EndpointView>,
    pub(crate) erased: Vec<EndpointId>,
    attempts: Vec<(EndpointId, u32)>,
    pub(crate) lease: Lease,
    /// Running times, which outlive rows and endpoints.
    pub(crate) usage: Vec<Ran>,
    /// The part of the event log that tells of them.
    pub(crate) happened: Vec<(ReplicaId, Happened)>,
    /// The newest stamp written.
    pub(crate) newest: Timestamp,
    /// Writes of an older lease that were taken.
    pub(crate) n_unfenced: u32,
}

impl Store {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        Self { bug, ..Self::default() }
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub(crate) fn enter(&mut self, epoch: u64, now: Timestamp) -> Written {
        if epoch != self.lease.epoch {
            if !self.has(Bug::NoEpochCheck) {
                return Err(Refused::Epoch);
            }
            self.n_unfenced += 1;
        }
        self.newest = self.newest.max(now);
        Ok(())
    }

    /// Reservations ever made.
    pub(crate) fn n_reserved(&self) -> u64 {
        self.attempts.iter().map(|it| u64::from(it.1)).sum()
    }

    pub(crate) fn view(&self, id: EndpointId) -> Option<&EndpointView> {
        self.endpoints.iter().find(|it| it.desired.id == id)
    }

    /// The endpoint, if it is this tenant's.
    pub(crate) fn view_of(&self, owner: &Owner, id: EndpointId) -> Option<&EndpointView> {
        let finds_all = self.has(Bug::ChangesForeign);
        self.view(id).filter(|it| it.desired.owner == *owner || finds_all)
    }

    fn view_mut(&mut self, id: EndpointId) -> Result<&mut EndpointView, Refused> {
        self.endpoints.iter_mut().find(|it| it.desired.id == id).ok_or(Refused::Conflict)
    }

    pub(crate) fn row(&self, replica: ReplicaId) -> Option<&ReplicaRow> {
        self.endpoints.iter().flat_map(|it| &it.replicas).map(|it| &it.row).find(|it| it.id == replica)
    }

    pub(crate) fn row_mut(&mut self, replica: ReplicaId) -> Result<&mut ReplicaRow, Refused> {
        self.endpoints
            .iter_mut()
            .flat_map(|it| &mut it.replicas)
            .map(|it| &mut it.row)
            .find(|it| it.id == replica)
            .ok_or(Refused::Conflict)
    }

    /// A user's change: `after` is what a row of this generation and shown state was turned into.
    pub(crate) fn change(
        &mut self,
        after: Desired,
        (read_generation, read_shown): (u64, EndpointState),
        now: Timestamp,
    ) -> Written {
        let overwrites = self.has(Bug::LostUpdate) || self.has(Bug::Resurrect);
        let resurrects = self.has(Bug::Resurrect);
        let view = self.view_mut(after.id)?;
        let last_failure = view.failures.last().map_or(0, |it| it.at.0);
        let desired = &mut view.desired;
        if desired.deleted && !resurrects {
            return Err(Refused::Conflict);
        }
        let is_moved = desired.generation != read_generation || desired.published != read_shown;
        if is_moved && !overwrites {
            return Err(Refused::Conflict);
        }
        desired.replicas = after.replicas;
        desired.run = after.run;
        desired.run_cause = after.run_cause;
        desired.deleted = after.deleted;
        desired.inactive_timeout_minutes = after.inactive_timeout_minutes;
        desired.published = after.published;
        desired.published_at = after.published_at;
        if desired.started_at != after.started_at {
            desired.started_at = after.started_at.max(Timestamp(last_failure + 1));
        }
        desired.generation += 1;
        let newest = now.max(desired.started_at);
        self.newest = self.newest.max(newest);
        Ok(())
    }
}

//! What is kept in other rows than the domain's own.

use dedi_domain::failure::Failure;
use dedi_domain::{EndpointId, EngineKind, FailureCause, Owner, ReplicaId, Timestamp};

use crate::store::{Moment, StoredKey};

/// An answer to a create.
#[derive(Clone, Copy, Debug)]
pub(super) struct Idempotent {
    pub(super) body_hash: [u8; 32],
    pub(super) endpoint: EndpointId,
    pub(super) at: Timestamp,
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) key: StoredKey,
    pub(super) hash: [u8; 32],
    pub(super) is_revoked: bool,
}

/// One launch, also after its replica is gone.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) replica: ReplicaId,
    pub(super) endpoint: EndpointId,
    pub(super) attempt: u32,
    pub(super) engine: EngineKind,
    pub(super) ready_at: Option<Timestamp>,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) cause: Option<FailureCause>,
    pub(super) detail: String,
    pub(super) log_tail: String,
}

impl Launch {
    /// Its failure, if it is one.
    pub(super) fn failure(&self) -> Option<Failure> {
        let at = self.ended_at?;
        Some(Failure {
            attempt: self.attempt,
            cause: self.cause?,
            at,
            ready_for: self.ready_at.map_or_else(Default::default, |it| at.since(it)),
            detail: self.detail.clone(),
        })
    }

    /// When it ended without a cause after it had been ready, which proves that its endpoint works.
    pub(super) fn proven_at(&self) -> Option<Timestamp> {
        self.ended_at.filter(|_| self.cause.is_none() && self.ready_at.is_some())
    }
}

/// How long a replica ran.
#[derive(Clone, Debug)]
pub(super) struct Ran {
    pub(super) endpoint: EndpointId,
    pub(super) name: String,
    pub(super) owner: Owner,
    pub(super) model: String,
    pub(super) hardware: String,
    pub(super) cents_per_minute: f64,
    pub(super) ready_at: Timestamp,
    pub(super) until: Timestamp,
    pub(super) seen: Moment,
    pub(super) is_closed: bool,
}

impl Ran {
    /// Moves it on by what has passed on both clocks.
    pub(super) fn extend(&mut self, until: Moment) {
        if self.is_closed || until.at <= self.seen.at {
            return;
        }
        let passed = (until.at.0 - self.seen.at.0).min(until.uptime_ms - self.seen.uptime_ms).max(0);
        self.until.0 += passed;
        self.seen = until;
    }
}

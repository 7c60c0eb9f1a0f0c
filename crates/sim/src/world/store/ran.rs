//! The running times in the store: begun when a replica is ready, moved on by beats, closed with its end.

use dedi_domain::usage::Beat;
use dedi_domain::{Nonce, ReplicaId, Timestamp};

use crate::bug::Bug;
use crate::world::store::{Store, Written};

/// What is recorded of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) replica: ReplicaId,
    pub(crate) nonce: Nonce,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) is_closed: bool,
}

/// An event of a replica, as far as running times can be recounted from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    Ready(Timestamp),
    Ended { ran_until: Timestamp },
}

impl Store {
    pub(crate) fn open(&mut self, ran: Ran) {
        self.usage.push(ran);
        self.happened.push((ran.replica, Happened::Ready(ran.from)));
    }

    /// Moves running times on, as far as they are open.
    pub(crate) fn beat(&mut self, epoch: u64, beats: &[Beat], now: Timestamp) -> Written {
        self.enter(epoch, now)?;
        let beats_the_dead = self.has(Bug::BeatsTheDead);
        for beat in beats {
            let ran = self.usage.iter_mut().find(|it| it.replica == beat.replica);
            let Some(ran) = ran.filter(|it| !it.is_closed || beats_the_dead) else { continue };
            ran.until = ran.until.max(beat.until);
            let until = ran.until;
            self.row_mut(beat.replica)?.ran_until = Some(until);
        }
        Ok(())
    }

    /// Its end, in the transaction that turns its row to stop.
    pub(crate) fn close(&mut self, replica: ReplicaId, ran_until: Option<Timestamp>) {
        let Some(ran) = self.usage.iter_mut().find(|it| it.replica == replica && !it.is_closed) else {
            return;
        };
        ran.until = ran.until.max(ran_until.unwrap_or(ran.until));
        ran.is_closed = true;
        self.happened.push((replica, Happened::Ended { ran_until: ran.until }));
    }
}

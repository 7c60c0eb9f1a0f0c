//! The book of the gateway's requests: each that was accepted runs, waits or has ended in exactly one way, and what
//! its client got came from one replica.

use dedi_domain::{EndpointId, ReplicaId};

use crate::trace::{Checked, broken};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The client has all of it.
    Full,
    /// The client was told that it failed.
    Error,
    /// The client left.
    Left,
}

/// One that runs on a replica.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) endpoint: EndpointId,
    pub(crate) replica: ReplicaId,
    /// When its first byte comes, if the replica lives.
    pub(crate) answers_at: i64,
    /// Until when a first byte is waited for.
    pub(crate) deadline: i64,
    pub(crate) ends_at: i64,
    /// Whose bytes the client has got.
    pub(crate) delivered_by: Option<ReplicaId>,
    /// It has not been sent to a second replica yet.
    pub(crate) may_retry: bool,
}

/// One that is held until a replica is ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) endpoint: EndpointId,
    pub(crate) deadline: i64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    pub(crate) running: Vec<Request>,
    pub(crate) waiting: Vec<Waiting>,
    n_accepted: usize,
    /// By how.
    n_ended: [usize; 3],
    /// By endpoint, when its last request ended.
    pub(crate) finished: Vec<(EndpointId, i64)>,
    /// Requests whose client has bytes of two replicas.
    n_mixed: u32,
}

impl Requests {
    pub(crate) fn accept(&mut self) {
        self.n_accepted += 1;
    }

    pub(crate) fn end(&mut self, endpoint: EndpointId, how: Ending, at: i64) {
        self.n_ended[how as usize] += 1;
        match self.finished.iter_mut().find(|it| it.0 == endpoint) {
            Some(known) => known.1 = known.1.max(at),
            None => self.finished.push((endpoint, at)),
        }
    }

    /// Requests that have ended.
    pub(crate) fn n_ended(&self) -> usize {
        self.n_ended.iter().sum()
    }

    /// Bytes of a request's replica reach its client.
    pub(crate) fn deliver(&mut self, now: i64) {
        for it in self.running.iter_mut().filter(|it| it.answers_at <= now) {
            let before = it.delivered_by.replace(it.replica);
            self.n_mixed += u32::from(before.is_some_and(|known| known != it.replica));
        }
    }

    /// S10.
    pub(crate) fn check(&self) -> Checked {
        let n_open = self.running.len() + self.waiting.len();
        if self.n_accepted != self.n_ended() + n_open {
            let (n, [full, error, left]) = (self.n_accepted, self.n_ended);
            let said = format!(
                "of {n} accepted requests {full} were answered, {error} failed, {left} clients left, {n_open} are open"
            );
            return broken("S10", said);
        }
        if self.n_mixed > 0 {
            return broken("S10", "a client got bytes of two replicas");
        }
        Ok(())
    }
}

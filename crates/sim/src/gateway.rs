//! The data plane: applies route tables, sends requests, reports. Its contract, which the real one must keep:
//!
//! - a report names the version that new requests are routed by, and counts every request still running; so
//!   a report that names a table without a replica has counted all that this replica will ever have.
//! - tables are applied in the order of their versions; an older one than the applied is dropped. A control
//!   plane that starts anew begins above every version ever used: the epoch is its upper half.

use dedi_domain::route::EndpointLoad;
use dedi_domain::{EndpointId, ReplicaId, Timestamp};

use crate::bug::Bug;

/// A replica that may be asked, and whose it is.
pub(crate) type Routed = (EndpointId, ReplicaId);

#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) version: u64,
    pub(crate) routed: Vec<Routed>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) endpoint: EndpointId,
    pub(crate) replica: ReplicaId,
    pub(crate) ends_at: i64,
}

/// A request held until a replica is ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) endpoint: EndpointId,
    pub(crate) deadline: i64,
}

/// What the control plane last heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) version: u64,
    pub(crate) at: i64,
    pub(crate) in_flight: Vec<(ReplicaId, u32)>,
    pub(crate) loads: Vec<(EndpointId, EndpointLoad)>,
}

/// Age from which a report says nothing about load.
pub(crate) const REPORT_AGE_MAX: i64 = 10_000;
const WAIT_MAX: i64 = 60_000;

#[derive(Clone, Debug, Default)]
pub(crate) struct Gateway {
    bug: Option<Bug>,
    pub(crate) applied: Table,
    pub(crate) coming: Vec<Table>,
    pub(crate) requests: Vec<Request>,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) report: Report,
    finished: Vec<(EndpointId, i64)>,
    /// Replicas of which a report has said that they get no request any more.
    pub(crate) let_go: Vec<ReplicaId>,
    /// Requests that waited beyond their deadline.
    pub(crate) n_overdue: u32,
}

impl Gateway {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        Self { bug, ..Self::default() }
    }

    pub(crate) fn publish(&mut self, table: Table) {
        let newest = self.coming.last().map_or(self.applied.version, |it| it.version);
        if table.version > newest {
            self.coming.push(table);
        }
    }

    /// Applies the next table, or all of them.
    pub(crate) fn apply(&mut self, all: bool) {
        if self.coming.is_empty() {
            return;
        }
        let n = if all { self.coming.len() } else { 1 };
        if let Some(table) = self.coming.drain(..n).next_back() {
            self.applied = table;
        }
    }

    /// Ends what is over by `now`, and answers what waits for a replica that is there by now.
    pub(crate) fn advance(&mut self, now: i64) {
        let finished = &mut self.finished;
        self.requests.retain(|it| {
            let is_over = it.ends_at <= now;
            if is_over {
                match finished.iter_mut().find(|known| known.0 == it.endpoint) {
                    Some(known) => known.1 = known.1.max(it.ends_at),
                    None => finished.push((it.endpoint, it.ends_at)),
                }
            }
            !is_over
        });
        let routed = &self.applied.routed;
        let requests = &mut self.requests;
        self.waiting.retain(|it| match routed.iter().find(|known| known.0 == it.endpoint) {
            Some((endpoint, replica)) => {
                requests.push(Request { endpoint: *endpoint, replica: *replica, ends_at: now + 500 });
                false
            }
            None => it.deadline > now,
        });
        if self.waiting.iter().any(|it| it.deadline < now) {
            self.n_overdue += 1;
        }
    }

    /// A request for an endpoint that has no replica.
    pub(crate) fn wait(&mut self, endpoint: EndpointId, now: i64) {
        self.waiting.push(Waiting { endpoint, deadline: now + WAIT_MAX });
    }

    /// Whether any request of it runs or waits.
    pub(crate) fn has_work(&self, endpoint: EndpointId) -> bool {
        self.requests.iter().any(|it| it.endpoint == endpoint)
            || self.waiting.iter().any(|it| it.endpoint == endpoint)
    }

    /// The replica's process is gone: each of its requests ended with an error.
    pub(crate) fn lose(&mut self, replica: ReplicaId) {
        self.requests.retain(|it| it.replica != replica);
    }

    pub(crate) fn tell(&mut self, now: i64) {
        let claimed = if self.bug == Some(Bug::AckBeforeApply) {
            self.coming.last().unwrap_or(&self.applied)
        } else {
            &self.applied
        };
        let mut report =
            Report { version: claimed.version, at: now, in_flight: Vec::new(), loads: Vec::new() };
        let load = |loads: &mut Vec<(EndpointId, EndpointLoad)>, id: EndpointId| {
            let known = loads.iter().position(|it| it.0 == id);
            known.unwrap_or_else(|| {
                loads.push((id, EndpointLoad::default()));
                loads.len() - 1
            })
        };
        for it in &self.requests {
            match report.in_flight.iter_mut().find(|known| known.0 == it.replica) {
                Some(known) => known.1 += 1,
                None => report.in_flight.push((it.replica, 1)),
            }
            let at = load(&mut report.loads, it.endpoint);
            report.loads[at].1.in_flight += 1;
        }
        for it in &self.waiting {
            let at = load(&mut report.loads, it.endpoint);
            report.loads[at].1.waiting += 1;
        }
        for (id, ended) in &self.finished {
            let at = load(&mut report.loads, *id);
            report.loads[at].1.last_finished_at = Some(Timestamp(*ended));
        }
        // Who had been routed and is not in the claimed table has been let go of.
        for (_, replica) in &self.applied.routed {
            let is_kept = claimed.routed.iter().any(|it| it.1 == *replica);
            if !is_kept && !self.let_go.contains(replica) {
                self.let_go.push(*replica);
            }
        }
        self.report = report;
    }
}

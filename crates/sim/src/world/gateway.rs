//! The data plane: applies route tables, sends requests, reports. Its contract, which the real one must keep:
//!
//! - a report names the version that new requests are routed by, and counts every request still running; so
//!   a report that names a table without a replica has counted all that this replica will ever have.
//! - tables are applied in the order of their versions; an older one than the applied is dropped. A control
//!   plane that starts anew begins above every version ever used: the epoch is its upper half.
//! - a request whose replica fails before a byte of it was delivered may be sent to another one, once; after that
//!   it ends with an error. A request that is held ends with an error at its deadline.
//! - an endpoint is found within the tenant of the key that a request came with.

use std::sync::Arc;

use dedi_domain::route::EndpointLoad;
use dedi_domain::{EndpointId, Owner, ReplicaId, Route, RouteTable, Timestamp};

use crate::bug::Bug;
use crate::world::requests::{Ending, Request, Requests, Waiting};

/// A replica that may be asked, and whose it is.
pub(crate) type Routed = (EndpointId, ReplicaId);

/// A route table, and its replicas in one list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) routes: Arc<RouteTable>,
    pub(crate) routed: Vec<Routed>,
}

impl Table {
    pub(crate) fn new(routes: Arc<RouteTable>) -> Self {
        let of = |it: &Arc<Route>| (it.endpoint, it.replicas.clone());
        let each = routes.routes.iter().map(of);
        let routed = each.flat_map(|(id, all)| all.into_iter().map(move |it| (id, it.id))).collect();
        Self { routes, routed }
    }

    pub(crate) fn version(&self) -> u64 {
        self.routes.version
    }
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
/// Longest wait for a first byte.
const FIRST_BYTE_MAX: i64 = 300_000;

#[derive(Clone, Debug, Default)]
pub(crate) struct Gateway {
    bug: Option<Bug>,
    pub(crate) applied: Table,
    pub(crate) coming: Vec<Table>,
    pub(crate) requests: Requests,
    pub(crate) report: Report,
    /// Replicas of which a report has said that they get no request any more.
    pub(crate) let_go: Vec<ReplicaId>,
    /// Requests that waited beyond their deadline.
    pub(crate) n_overdue: u32,
    /// Requests sent to a replica after it was let go of.
    pub(crate) n_after_let_go: u32,
}

impl Gateway {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        Self { bug, ..Self::default() }
    }

    pub(crate) fn publish(&mut self, table: Table) {
        let newest = self.coming.last().map_or(self.applied.version(), Table::version);
        if table.version() > newest {
            self.let_go.retain(|it| !table.routed.iter().any(|known| known.1 == *it));
            self.coming.push(table);
        }
    }

    /// Applies the next `n` tables, as far as there are so many.
    pub(crate) fn apply(&mut self, n: usize) {
        let n = n.min(self.coming.len());
        if let Some(table) = self.coming.drain(..n).next_back() {
            self.applied = table;
        }
    }

    /// The endpoint of that name or id, for the bearer of `key`.
    pub(crate) fn find(&self, model: &str, key: &str, now: i64) -> Option<(Owner, Arc<Route>)> {
        let table = &self.applied.routes;
        let caller = table.keys.check(key, Timestamp(now))?;
        let route = if self.bug == Some(Bug::FindsForeign) {
            table.routes.iter().find(|it| it.endpoint.to_string() == model)?
        } else {
            table.find(model, &caller)?
        };
        Some((caller.owner, route.clone()))
    }

    /// Accepts a request and sends it to `replica`, which gives its first byte after a while and its last later.
    pub(crate) fn begin(&mut self, routed: Routed, is_ready: bool, (now, first, lasts): (i64, i64, i64)) {
        let (endpoint, replica) = routed;
        self.requests.accept();
        let request = Request {
            endpoint,
            replica,
            answers_at: now + first,
            deadline: now + FIRST_BYTE_MAX,
            ends_at: now + first + lasts,
            delivered_by: None,
            may_retry: true,
        };
        self.send(request, is_ready, now);
    }

    /// A replica that is not there gives an error at once.
    fn send(&mut self, request: Request, is_ready: bool, now: i64) {
        if self.let_go.contains(&request.replica) {
            self.n_after_let_go += 1;
        }
        if is_ready {
            self.requests.running.push(request);
        } else {
            self.requests.end(request.endpoint, Ending::Error, now);
        }
    }

    /// Ends what is over by `now`, and answers what waits for a replica that is there by now.
    pub(crate) fn advance(&mut self, now: i64, is_ready: impl Fn(ReplicaId) -> bool) {
        self.requests.deliver(now);
        for it in std::mem::take(&mut self.requests.running) {
            let is_late = it.delivered_by.is_none() && it.deadline <= now;
            if it.ends_at <= now {
                self.requests.end(it.endpoint, Ending::Full, it.ends_at);
            } else if is_late {
                self.requests.end(it.endpoint, Ending::Error, now);
            } else {
                self.requests.running.push(it);
            }
        }
        for it in std::mem::take(&mut self.requests.waiting) {
            let routed = self.applied.routed.iter().find(|known| known.0 == it.endpoint).copied();
            if let Some((endpoint, replica)) = routed {
                let request = Request {
                    endpoint,
                    replica,
                    answers_at: now + 100,
                    deadline: now + FIRST_BYTE_MAX,
                    ends_at: now + 500,
                    delivered_by: None,
                    may_retry: true,
                };
                self.send(request, is_ready(replica), now);
            } else if it.deadline > now {
                self.requests.waiting.push(it);
            } else if self.bug != Some(Bug::ForgetsWaiting) {
                self.requests.end(it.endpoint, Ending::Error, now);
            }
        }
        self.n_overdue += u32::from(self.requests.waiting.iter().any(|it| it.deadline < now));
    }

    /// A request for an endpoint that has no replica.
    pub(crate) fn wait(&mut self, endpoint: EndpointId, now: i64) {
        self.requests.accept();
        self.requests.waiting.push(Waiting { endpoint, deadline: now + WAIT_MAX });
    }

    /// A client leaves: the one at `at`, if there is one.
    pub(crate) fn leave(&mut self, at: usize, now: i64) {
        if at >= self.requests.running.len() {
            return;
        }
        let gone = self.requests.running[at];
        self.requests.end(gone.endpoint, Ending::Left, now);
        if self.bug != Some(Bug::EndsTwice) {
            self.requests.running.swap_remove(at);
        }
    }

    /// Whether any request of it runs or waits.
    pub(crate) fn has_work(&self, endpoint: EndpointId) -> bool {
        self.requests.running.iter().any(|it| it.endpoint == endpoint)
            || self.requests.waiting.iter().any(|it| it.endpoint == endpoint)
    }

    /// The replica's process is gone: what its clients have begun to get ends with an error, the rest is sent to
    /// another replica, once.
    pub(crate) fn lose(&mut self, replica: ReplicaId, now: i64, is_ready: impl Fn(ReplicaId) -> bool) {
        let ignores_bytes = self.bug == Some(Bug::RetryAfterBytes);
        for mut it in std::mem::take(&mut self.requests.running) {
            if it.replica != replica {
                self.requests.running.push(it);
                continue;
            }
            let another = |known: &&Routed| known.0 == it.endpoint && known.1 != replica;
            let other = self.applied.routed.iter().find(another).copied();
            match other {
                Some((_, other)) if it.may_retry && (it.delivered_by.is_none() || ignores_bytes) => {
                    it.replica = other;
                    it.may_retry = false;
                    self.send(it, is_ready(other), now);
                }
                Some(_) | None => self.requests.end(it.endpoint, Ending::Error, now),
            }
        }
    }

    pub(crate) fn tell(&mut self, now: i64) {
        let claimed = if self.bug == Some(Bug::AckBeforeApply) {
            self.coming.last().unwrap_or(&self.applied)
        } else {
            &self.applied
        };
        let mut report =
            Report { version: claimed.version(), at: now, in_flight: Vec::new(), loads: Vec::new() };
        let load = |loads: &mut Vec<(EndpointId, EndpointLoad)>, id: EndpointId| {
            let known = loads.iter().position(|it| it.0 == id);
            known.unwrap_or_else(|| {
                loads.push((id, EndpointLoad::default()));
                loads.len() - 1
            })
        };
        for it in &self.requests.running {
            match report.in_flight.iter_mut().find(|known| known.0 == it.replica) {
                Some(known) => known.1 += 1,
                None => report.in_flight.push((it.replica, 1)),
            }
            let at = load(&mut report.loads, it.endpoint);
            report.loads[at].1.in_flight += 1;
        }
        for it in &self.requests.waiting {
            let at = load(&mut report.loads, it.endpoint);
            report.loads[at].1.waiting += 1;
        }
        for (id, ended) in &self.requests.finished {
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

//! The current route table and the state of every replica. A replica is picked and counted under the table's lock, so
//! that once a table is installed no request goes to a replica that is not in it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dedi_domain::route::{EndpointLoad, Prospect};
use dedi_domain::{Clock, EndpointId, KeyId, LoadReport, Principal, ReplicaId, Route, RouteTable, Timestamp};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::admission::{Changed, Endpoint, InFlight, Waiting};
use crate::balance;
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::replica::Replica;

/// How often a running request's key is checked for expiry; a revocation arrives with a new table.
const KEY_CHECK_EVERY: Duration = Duration::from_secs(2);
/// How long a key's last use stays in the reports; they are normally read at least twice a second.
const KEYS_REPORTED_FOR: Duration = Duration::from_secs(120);

/// Everything that can be routed to.
#[derive(Debug)]
pub(crate) struct Fleet {
    view: RwLock<View>,
    versions: watch::Sender<u64>,
    /// Notified when a load report would differ from the last.
    changed: Changed,
    /// When keys were last used; those of the last minutes.
    keys_used: Mutex<BTreeMap<KeyId, Timestamp>>,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// Aborts all requests.
    kill: CancellationToken,
}

#[derive(Debug, Default)]
struct View {
    table: Arc<RouteTable>,
    replicas: HashMap<ReplicaId, Arc<Replica>>,
    endpoints: HashMap<EndpointId, Arc<Endpoint>>,
}

/// The endpoint a request is for.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) endpoint: EndpointId,
    /// As the client wrote it.
    pub(crate) model: String,
    /// Number of choices asked for.
    pub(crate) weight: u32,
}

/// The outcome of picking a replica.
#[derive(Debug)]
pub(crate) enum Pick {
    /// This replica; the request is counted on it.
    Go(InFlight),
    /// None is ready now, but one may come.
    Wait(NotNow),
}

/// Why no replica is ready, and when one may be.
#[derive(Debug)]
pub(crate) struct NotNow {
    /// The endpoint sleeps and is woken by waiting.
    pub(crate) wakes: bool,
    pub(crate) prospect: Prospect,
    pub(crate) why: String,
    pub(crate) model: String,
}

impl Fleet {
    pub(crate) fn new(metrics: Arc<Metrics>, clock: Clock, kill: CancellationToken) -> Self {
        Self {
            view: RwLock::default(),
            versions: watch::Sender::new(0),
            changed: Changed::default(),
            keys_used: Mutex::default(),
            metrics,
            clock,
            kill,
        }
    }

    /// Routes requests by `table` from now on, unless a newer one is in use.
    pub(crate) fn install(&self, table: RouteTable) {
        let table = Arc::new(table);
        let mut view = self.view.write();
        if table.version < view.table.version {
            return;
        }
        let mut replicas = HashMap::new();
        for (endpoint, replica) in table.routes.iter().flat_map(|it| it.replicas.iter().map(move |r| (it, r)))
        {
            let known = view.replicas.get(&replica.id).filter(|it| it.is(replica));
            let state = known.cloned().unwrap_or_else(|| {
                tracing::debug!(endpoint.id = %endpoint.endpoint, replica.id = %replica.id, "routes to a new replica");
                Arc::new(Replica::new(replica, self.kill.child_token()))
            });
            replicas.insert(replica.id, state);
        }
        for (id, old) in &view.replicas {
            let stays = replicas.get(id).is_some_and(|it| Arc::ptr_eq(it, old));
            if !stays {
                old.pool.close();
            }
            if !replicas.contains_key(id) && old.in_flight.load(Ordering::SeqCst) > 0 {
                replicas.insert(*id, old.clone()); // reported until its last request ends
            }
        }
        for (id, ending) in &table.ending {
            if let Some(replica) = replicas.get(id) {
                replica.end(*ending);
            }
        }
        view.replicas = replicas;
        view.endpoints.retain(|id, it| {
            let stays = it.is_busy() || table.routes.iter().any(|route| route.endpoint == *id);
            if !stays {
                self.metrics.forget(*id);
            }
            stays
        });
        let version = table.version;
        view.table = table;
        drop(view);
        self.versions.send_replace(version);
        self.changed.notify();
    }

    /// The table in use.
    pub(crate) fn table(&self) -> Arc<RouteTable> {
        self.view.read().table.clone()
    }

    /// Records that a request of `key` was admitted.
    pub(crate) fn key_used(&self, key: &KeyId) {
        let now = self.clock.now();
        let mut used = self.keys_used.lock();
        match used.get_mut(key) {
            Some(at) => *at = now,
            None => {
                used.insert(key.clone(), now);
            }
        }
    }

    /// Returns when a key that was checked is none any more: it was revoked, which a new table says, or has expired.
    pub(crate) async fn key_ended(&self, key: &KeyId) {
        let mut versions = self.versions();
        while self.table().keys.is_valid(key, self.clock.wall()) {
            let _same = timeout(KEY_CHECK_EVERY, versions.changed()).await;
        }
    }

    /// Changes whenever another table is installed.
    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.versions.subscribe()
    }

    /// Changes whenever a request comes, moves or goes.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Counts a request as waiting until the guard is dropped.
    pub(crate) fn wait_at(&self, endpoint: &Arc<Endpoint>) -> Waiting {
        Waiting::enter(endpoint, &self.changed)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The caller's endpoint of that name or id, with its counters. What another tenant has is as unknown as
    /// what nobody has.
    pub(crate) fn resolve(
        &self,
        model: &str,
        caller: &Principal,
    ) -> Result<(Arc<Route>, Arc<Endpoint>), ApiError> {
        let table = self.table();
        let Some(route) = table.find(model, caller) else {
            let model = shown(model);
            let is_here = table.shows_model(&model, caller);
            return Err(if is_here {
                ApiError::ModelNotAvailable { model }
            } else {
                ApiError::UnknownModel { model }
            });
        };
        let known = {
            let view = self.view.read();
            view.endpoints.get(&route.endpoint).cloned()
        };
        let endpoint = known.unwrap_or_else(|| {
            let mut view = self.view.write();
            let new = || Arc::new(Endpoint::new(self.metrics.of(route.endpoint)));
            view.endpoints.entry(route.endpoint).or_insert_with(new).clone()
        });
        Ok((route.clone(), endpoint))
    }

    /// Picks a replica and counts the request on it. `not` was tried already.
    pub(crate) fn pick(
        &self,
        target: &Target,
        endpoint: &Arc<Endpoint>,
        not: Option<ReplicaId>,
    ) -> Result<Pick, ApiError> {
        let now = self.clock.now();
        let view = self.view.read();
        let route = running(view.table.routes.iter().find(|it| it.endpoint == target.endpoint), target)?;
        let ready = route.replicas.iter().filter(|it| Some(it.id) != not);
        let ready: Vec<_> = ready.filter_map(|it| view.replicas.get(&it.id)).collect();
        let well: Vec<_> = ready.iter().filter(|it| !it.health().is_ejected(now)).copied().collect();
        // Never none because all were ejected: a failing replica is better than a certain error.
        let candidates = if well.is_empty() { ready } else { well };
        let loads: Vec<_> = candidates.iter().map(|it| it.load.load(Ordering::SeqCst)).collect();
        let picked = balance::pick(&loads, &mut rand::rng()).and_then(|it| candidates.get(it));
        Ok(match picked {
            Some(replica) => {
                Pick::Go(InFlight::enter(endpoint, replica, target.weight, &self.changed, &self.clock))
            }
            None => Pick::Wait(NotNow {
                wakes: route.wakes_on_request,
                prospect: route.prospect,
                why: route.reason.clone(),
                model: shown(&target.model),
            }),
        })
    }

    /// Ready replicas of the endpoint that have not failed lately, without `not`.
    pub(crate) fn n_others(&self, target: &Target, not: ReplicaId) -> usize {
        let now = self.clock.now();
        let view = self.view.read();
        let route = view.table.routes.iter().find(|it| it.endpoint == target.endpoint);
        let ready = route.into_iter().flat_map(|it| &it.replicas).filter(|it| it.id != not);
        ready.filter_map(|it| view.replicas.get(&it.id)).filter(|it| !it.health().is_ejected(now)).count()
    }

    /// How busy each endpoint is, in the order of their ids.
    pub(crate) fn loads(&self) -> BTreeMap<EndpointId, EndpointLoad> {
        self.view.read().endpoints.iter().map(|(id, it)| (*id, it.load())).collect()
    }

    /// What is going on now.
    pub(crate) fn report(&self) -> LoadReport {
        let at = self.clock.now();
        let keys_used = {
            let mut used = self.keys_used.lock();
            used.retain(|_, last| at.since(*last) < KEYS_REPORTED_FOR);
            used.clone()
        };
        let view = self.view.read();
        let replicas = view.replicas.values().map(|it| (it.id, it.in_flight.load(Ordering::SeqCst)));
        let unanswered = view.replicas.values().map(|it| (it.id, it.n_unanswered()));
        LoadReport {
            routes_version: view.table.version,
            in_flight: replicas.filter(|(_, n)| *n > 0).collect(),
            unanswered: unanswered.filter(|(_, n)| *n > 0).collect(),
            endpoints: view.endpoints.iter().map(|(id, it)| (*id, it.load())).collect(),
            keys_used,
            at,
        }
    }
}

/// The route, if its endpoint may get requests.
fn running<'a>(route: Option<&'a Arc<Route>>, target: &Target) -> Result<&'a Route, ApiError> {
    let Some(route) = route else {
        return Err(ApiError::UnknownModel { model: shown(&target.model) });
    };
    may_run(route, &target.model).map(|()| &**route)
}

/// Whether the endpoint may get requests at all, or why not.
pub(crate) fn may_run(route: &Route, model: &str) -> Result<(), ApiError> {
    if route.replicas.is_empty() && route.prospect == Prospect::Halted {
        let (model, why) = (shown(model), route.reason.clone());
        return Err(ApiError::NotRunning { model, state: route.state, why });
    }
    Ok(())
}

/// The model name, shortened for messages.
fn shown(model: &str) -> String {
    model.chars().take(256).collect()
}

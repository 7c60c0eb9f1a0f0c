//! The route table: which replicas may be asked what. It is published before anything is taken away from what
//! it shows, and it remembers since which version a replica is no longer in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dedi_domain::reconcile::{EndpointView, World, index};
use dedi_domain::status::explain;
use dedi_domain::{
    Desired, EndpointId, Intent, KeyTable, ModelName, Observation, ReplicaId, ReplicaPhase, Route,
    RouteReplica, RouteTable,
};
use tokio::sync::watch;

use super::view_of;
use crate::http::views::fresh_view;
use crate::shared::Shared;
use crate::store::EndpointRows;

/// Publishes during which a change counts as newer than the look: the first may be of a look that began before
/// the change was recorded, the second can't be.
const PUBLISHES_NEWER: u8 = 2;

/// What was published.
#[derive(Debug)]
pub(crate) struct Published {
    table: watch::Sender<RouteTable>,
    /// Existing replicas that are not in the table, with the first version that lacked them.
    absent: BTreeMap<ReplicaId, u64>,
    /// Which generation of each endpoint the table shows.
    shown: BTreeMap<EndpointId, u64>,
    /// Changes shown before a look saw them, with the publishes they still count for.
    newer: BTreeMap<EndpointId, (Desired, u8)>,
}

impl Published {
    pub(crate) fn new() -> Self {
        let (table, _) = watch::channel(RouteTable::default());
        Self { table, absent: BTreeMap::new(), shown: BTreeMap::new(), newer: BTreeMap::new() }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<RouteTable> {
        self.table.subscribe()
    }

    /// The first table without this replica; `None` while it is in the table, or was never looked at.
    pub(super) fn absent_since(&self, replica: ReplicaId) -> Option<u64> {
        self.absent.get(&replica).copied()
    }

    /// Publishes what `world` shows, if it differs from what is out.
    pub(super) fn publish(
        &mut self,
        shared: &Shared,
        world: &World,
        models: BTreeSet<ModelName>,
        keys: Arc<KeyTable>,
    ) {
        let seen = world.endpoints.iter().map(|it| (it.desired.id, it.desired.generation)).collect();
        let mut routes = routes(shared, world);
        self.shown = seen;
        self.newer.retain(|_, (_, left)| {
            *left = left.saturating_sub(1);
            *left > 0
        });
        for (desired, _) in self.newer.values() {
            if self.shown.get(&desired.id).is_none_or(|it| *it < desired.generation) {
                self.shown.insert(desired.id, desired.generation);
                put(&mut routes, shared, world, desired);
            }
        }
        let is_same = {
            let old = self.table.borrow();
            old.version > 0 && old.routes == routes && old.models == models && old.keys == keys
        };
        if !is_same {
            let version = self.table.borrow().version + 1;
            self.table.send_replace(RouteTable { version, routes, models, keys });
        }
        self.note_absent(world);
    }

    /// Shows a change that was just recorded, so that it holds for every request after the answer to it. What
    /// runs is for the next look to say: a stopped endpoint loses its replicas here, none gains any.
    pub(crate) fn show(&mut self, shared: &Shared, desired: &Desired) {
        if self.shown.get(&desired.id).is_some_and(|it| *it >= desired.generation) {
            return;
        }
        let world = shared.world();
        let mut table = self.table.borrow().clone();
        put(&mut table.routes, shared, &world, desired);
        table.version += 1;
        self.table.send_replace(table);
        self.shown.insert(desired.id, desired.generation);
        self.newer.insert(desired.id, (desired.clone(), PUBLISHES_NEWER));
        self.note_absent(&world);
    }

    /// Shows keys that were just made or revoked.
    pub(crate) fn show_keys(&mut self, keys: Arc<KeyTable>) {
        let mut table = self.table.borrow().clone();
        table.version += 1;
        table.keys = keys;
        self.table.send_replace(table);
    }

    fn note_absent(&mut self, world: &World) {
        let table = self.table.borrow();
        let routed: BTreeSet<ReplicaId> =
            table.routes.iter().flat_map(|it| &it.replicas).map(|it| it.id).collect();
        let existing: BTreeSet<ReplicaId> =
            world.endpoints.iter().flat_map(|it| &it.replicas).map(|it| it.row.id).collect();
        self.absent.retain(|id, _| existing.contains(id) && !routed.contains(id));
        for id in existing.difference(&routed) {
            self.absent.entry(*id).or_insert(table.version);
        }
    }
}

/// Puts a change into a table that was made without it.
fn put(routes: &mut Vec<Arc<Route>>, shared: &Shared, world: &World, desired: &Desired) {
    let place = routes.binary_search_by_key(&desired.id, |it| it.endpoint);
    let before = place.ok().map(|at| routes.remove(at));
    if desired.deleted {
        return;
    }
    let desired = desired.clone();
    let view = match view_of(world, desired.id) {
        Some(last) => EndpointView { desired, ..last.clone() },
        None => fresh_view(EndpointRows { desired, replicas: Vec::new(), failures: Vec::new() }, world),
    };
    let kept = before.filter(|_| view.desired.wants_replicas()).map(|it| it.replicas.clone());
    let (Ok(at) | Err(at)) = place;
    routes.insert(at, Arc::new(route(shared, &view, world, kept.unwrap_or_default())));
}

fn routes(shared: &Shared, world: &World) -> Vec<Arc<Route>> {
    let mut routes: Vec<Arc<Route>> = world
        .endpoints
        .iter()
        .filter(|it| !it.desired.deleted)
        .map(|it| {
            let replicas = if it.desired.wants_replicas() { ready(it, world) } else { Vec::new() };
            Arc::new(route(shared, it, world, replicas))
        })
        .collect();
    routes.sort_by_key(|it| it.endpoint);
    routes
}

fn route(shared: &Shared, view: &EndpointView, world: &World, replicas: Vec<RouteReplica>) -> Route {
    let desired = &view.desired;
    Route {
        endpoint: desired.id,
        name: desired.name.clone(),
        owner: desired.owner.clone(),
        model: desired.model.clone(),
        state: desired.published,
        reason: explain(view, world).reason.message,
        wakes_on_request: desired.wants_replicas() && desired.replicas.min() == 0,
        replicas,
        slots_per_replica: shared.config.slots,
        context_tokens: shared.config.context_tokens,
    }
}

fn ready(view: &EndpointView, world: &World) -> Vec<RouteReplica> {
    let Observation::Known(observed) = &world.observation else { return Vec::new() };
    let seen = index(observed);
    let mut replicas: Vec<RouteReplica> = view
        .replicas
        .iter()
        .filter(|it| it.row.intent == Intent::Run)
        .filter_map(|it| {
            let process = seen.get(&it.row.id).filter(|seen| seen.nonce == it.row.nonce)?;
            let ReplicaPhase::Ready { address } = &process.phase else { return None };
            Some(RouteReplica {
                id: it.row.id,
                address: address.clone(),
                engine_model: view.desired.model.to_string(),
            })
        })
        .collect();
    replicas.sort_by_key(|it| it.id);
    replicas
}

//! The route table: which replicas may be asked what. It is published before anything is taken away from what
//! it shows, and it remembers since which version a replica is no longer in it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use dedi_domain::reconcile::{EndpointView, World, by_mark};
use dedi_domain::status::outline;
use dedi_domain::{
    EndpointId, Intent, KeyTable, ModelName, Observation, ObservedReplica, ReplicaId, ReplicaPhase, Route,
    RouteReplica, RouteTable,
};

use super::observe::Contexts;
use crate::shared::Shared;

/// What was published.
#[derive(Debug, Default)]
pub(super) struct Published {
    version: u64,
    /// Existing replicas that are not in the table, with the first version that lacked them.
    absent: BTreeMap<ReplicaId, u64>,
}

impl Published {
    /// The first table without this replica; `None` while it is in the table, or was never looked at.
    pub(super) fn absent_since(&self, replica: ReplicaId) -> Option<u64> {
        self.absent.get(&replica).copied()
    }

    /// Publishes what `world` shows, if it differs from what is out.
    pub(super) fn publish(
        &mut self,
        shared: &Shared,
        world: &World,
        (models, contexts): (BTreeSet<ModelName>, &Contexts),
        keys: Arc<KeyTable>,
    ) {
        let (routes, is_same) = {
            let old = shared.routes.borrow();
            let routes = routes(shared, world, contexts, &old);
            let is_same =
                self.version > 0 && old.routes == routes && old.models == models && old.keys == keys;
            (routes, is_same)
        };
        if !is_same {
            self.version += 1;
            let version = self.version;
            shared.routes.send_replace(RouteTable { version, routes, models, keys });
        }
        self.note_absent(world, &shared.routes.borrow());
    }

    fn note_absent(&mut self, world: &World, table: &RouteTable) {
        let routed: BTreeSet<ReplicaId> =
            table.routes.iter().flat_map(|it| &it.replicas).map(|it| it.id).collect();
        let existing: BTreeSet<ReplicaId> =
            world.endpoints.iter().flat_map(|it| &it.replicas).map(|it| it.row.id).collect();
        self.absent.retain(|id, _| existing.contains(id) && !routed.contains(id));
        for id in existing.difference(&routed) {
            self.absent.entry(*id).or_insert(self.version);
        }
    }
}

fn routes(shared: &Shared, world: &World, contexts: &Contexts, old: &RouteTable) -> Vec<Arc<Route>> {
    let mut routes: Vec<Arc<Route>> = world
        .endpoints
        .iter()
        .filter(|it| !it.desired.deleted)
        .filter_map(|it| {
            // One that can't be explained is routed as before, and the others all the same.
            let route = catch_unwind(AssertUnwindSafe(|| route(shared, it, world, old)));
            // 0 is what is not known: a model that can't be read now.
            let context_tokens = contexts.get(&it.desired.model).copied().unwrap_or(0);
            let route = route.map(|it| Arc::new(Route { context_tokens, ..it }));
            route.ok().or_else(|| before(old, it.desired.id))
        })
        .chain(world.aside.endpoints.iter().filter_map(|it| before(old, *it)))
        .collect();
    routes.sort_by_key(|it| it.endpoint);
    routes
}

fn before(old: &RouteTable, endpoint: EndpointId) -> Option<Arc<Route>> {
    old.routes.iter().find(|it| it.endpoint == endpoint).cloned()
}

fn route(shared: &Shared, view: &EndpointView, world: &World, old: &RouteTable) -> Route {
    let desired = &view.desired;
    let replicas = match &world.observation {
        _ if !desired.wants_replicas() => Vec::new(),
        Observation::Known(observed) => ready(view, observed),
        Observation::Unknown => kept(view, old),
    };
    Route {
        endpoint: desired.id,
        name: desired.name.clone(),
        owner: desired.owner.clone(),
        model: desired.model.clone(),
        state: desired.published,
        reason: outline(view, world),
        wakes_on_request: desired.wants_replicas() && desired.replicas.min() == 0,
        replicas,
        slots_per_replica: shared.config.slots,
        context_tokens: 0,
    }
}

fn ready(view: &EndpointView, observed: &[ObservedReplica]) -> Vec<RouteReplica> {
    let seen = by_mark(observed);
    let mut replicas: Vec<RouteReplica> = view
        .replicas
        .iter()
        .filter(|it| it.row.intent == Intent::Run)
        .filter_map(|it| {
            let process = seen.get(&(it.row.id, it.row.nonce))?;
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

/// What was routed before, while the runtime can't be asked: no news is no reason to refuse requests.
fn kept(view: &EndpointView, old: &RouteTable) -> Vec<RouteReplica> {
    let runs = |id: ReplicaId| view.replicas.iter().any(|it| it.row.id == id && it.row.intent == Intent::Run);
    let before = old.routes.iter().find(|it| it.endpoint == view.desired.id);
    before.map_or_else(Vec::new, |it| it.replicas.iter().filter(|it| runs(it.id)).cloned().collect())
}

//! The route table: which replicas may be asked what. It is published before anything is taken away from what
//! it shows, and it remembers since which version a replica is no longer in it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::{Ending, Prospect, Route, RouteReplica, RouteTable};
use crate::endpoint::Desired;
use crate::ids::{EndpointId, ModelName, ReplicaId};
use crate::keys::KeyTable;
use crate::model_rights::Holders;
use crate::replica::{Intent, ReplicaPhase};
use crate::status::{Explainer, ReasonCode};
use crate::time::Timestamp;
use crate::world::{EndpointView, Observation, World};

/// What a table says besides what the world shows.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    /// All models of the store, with who may know of them.
    pub models: BTreeMap<ModelName, Holders>,
    /// Tokens of context that deployed models are served with; absent where the model can't be read now.
    pub contexts: BTreeMap<ModelName, u32>,
    /// Requests one replica generates at the same time.
    pub slots: u32,
    /// Keys that may use the data plane.
    pub keys: Arc<KeyTable>,
}

/// What was published.
#[derive(Clone, Debug, Default)]
pub struct Published {
    version: u64,
    is_out: bool,
    /// Existing replicas that are not in the table, with the first version that lacked them.
    absent: BTreeMap<ReplicaId, u64>,
    /// Replicas that were seen to drain. What is ended without that has failed, and its requests with it.
    drained: BTreeSet<ReplicaId>,
    /// Endpoints that were told of as they were recorded and that no world has shown yet, with when.
    new: BTreeMap<EndpointId, Timestamp>,
}

/// How long such an endpoint is routed without being shown. A pass that looked before it was recorded takes less.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);

impl Published {
    /// Nothing is published yet; the first table's version will be above `version`. A gateway that outlives its control
    /// plane drops tables that are older than the one it has.
    pub fn above(version: u64) -> Self {
        Self { version, ..Self::default() }
    }

    /// The first table without this replica; `None` while it is in the table, or was never looked at.
    pub fn absent_since(&self, replica: ReplicaId) -> Option<u64> {
        self.absent.get(&replica).copied()
    }

    /// The table that `world` shows, to be put in the place of `old`; `None` where `old` says the same.
    pub fn next(&mut self, old: &RouteTable, world: &World, serving: Serving) -> Option<RouteTable> {
        self.new.retain(|id, at| {
            let is_shown = world.endpoints.iter().any(|it| it.desired.id == *id)
                || world.quarantine.endpoints.iter().any(|it| it == id);
            world.now.since(*at) < SHOWN_WITHIN && !is_shown
        });
        let routes = routes(world, &serving, old, self.new.keys());
        let ending = self.ending(world);
        let Serving { models, keys, .. } = serving;
        let is_same = self.is_out
            && old.routes == routes
            && old.models == models
            && old.keys == keys
            && old.ending == ending;
        if is_same {
            self.note_absent(world, old);
            return None;
        }
        self.is_out = true;
        self.version += 1;
        let table = RouteTable { version: self.version, routes, models, keys, ending };
        self.note_absent(world, &table);
        Some(table)
    }

    /// The same table with other keys, to be put in the place of `old`; `None` where `old` has them, or nothing is out.
    pub fn with_keys(&mut self, old: &RouteTable, keys: Arc<KeyTable>) -> Option<RouteTable> {
        if !self.is_out || old.keys == keys {
            return None;
        }
        self.version += 1;
        Some(RouteTable { version: self.version, keys, ..old.clone() })
    }

    /// The same table with an endpoint that was just recorded, to be put in the place of `old`: its creator's next
    /// request finds it, however long the pass takes that will show it.
    pub fn with_new(&mut self, old: &RouteTable, desired: &Desired, now: Timestamp) -> Option<RouteTable> {
        if !self.is_out || old.routes.iter().any(|it| it.endpoint == desired.id) {
            return None;
        }
        self.new.insert(desired.id, now);
        self.version += 1;
        let mut table = RouteTable { version: self.version, ..old.clone() };
        table.routes.push(Arc::new(new_route(desired)));
        table.routes.sort_by_key(|it| it.endpoint);
        Some(table)
    }

    /// What is ended after it was drained. This is published before the processes hear of it.
    fn ending(&mut self, world: &World) -> BTreeMap<ReplicaId, Ending> {
        let mut drained = BTreeSet::new();
        let mut ending = BTreeMap::new();
        for (view, row) in world.endpoints.iter().flat_map(|it| it.replicas.iter().map(move |r| (it, &r.row)))
        {
            match row.intent {
                Intent::Run => {}
                Intent::Drain { .. } => {
                    drained.insert(row.id);
                }
                Intent::Stop { .. } if self.drained.contains(&row.id) => {
                    drained.insert(row.id);
                    let stops_endpoint = !view.desired.wants_replicas();
                    let drain_timeout = world.settings.drain_timeout;
                    ending.insert(row.id, Ending { stops_endpoint, drain_timeout });
                }
                Intent::Stop { .. } => {}
            }
        }
        self.drained = drained;
        ending
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

fn routes<'a>(
    world: &'a World,
    serving: &Serving,
    old: &RouteTable,
    new: impl Iterator<Item = &'a EndpointId>,
) -> Vec<Arc<Route>> {
    let seen = Explainer::new(world);
    let mut routes: Vec<Arc<Route>> = world
        .endpoints
        .iter()
        .filter(|it| !it.desired.deleted)
        .filter_map(|it| {
            // One that can't be explained is routed as before, and the others all the same.
            let route = catch_unwind(AssertUnwindSafe(|| route(it, (world, &seen), serving, old)));
            route.ok().map(Arc::new).or_else(|| before(old, it.desired.id))
        })
        .chain(world.quarantine.endpoints.iter().chain(new).filter_map(|it| before(old, *it)))
        .collect();
    routes.sort_by_key(|it| it.endpoint);
    routes
}

fn before(old: &RouteTable, endpoint: EndpointId) -> Option<Arc<Route>> {
    old.routes.iter().find(|it| it.endpoint == endpoint).cloned()
}

fn route(
    view: &EndpointView,
    (world, seen): (&World, &Explainer<'_>),
    serving: &Serving,
    old: &RouteTable,
) -> Route {
    let desired = &view.desired;
    let replicas = match &world.observation {
        _ if !desired.wants_replicas() => Vec::new(),
        Observation::Known(_) => ready(view, seen),
        Observation::Unknown => kept(view, old),
    };
    Route {
        endpoint: desired.id,
        name: desired.name.clone(),
        owner: desired.owner.clone(),
        model: desired.model.clone(),
        state: desired.published,
        reason: seen.outline(view),
        wakes_on_request: desired.wants_replicas() && desired.replicas.min() == 0,
        prospect: seen.prospect(view),
        replicas,
        slots_per_replica: serving.slots,
        // 0 is what is not known.
        context_tokens: serving.contexts.get(&desired.model).copied().unwrap_or(0),
    }
}

fn new_route(desired: &Desired) -> Route {
    let wants_replicas = desired.wants_replicas();
    Route {
        endpoint: desired.id,
        name: desired.name.clone(),
        owner: desired.owner.clone(),
        model: desired.model.clone(),
        state: desired.published,
        reason: if wants_replicas {
            "accepted; waiting for the scheduler"
        } else {
            "created without being started"
        }
        .to_owned(),
        wakes_on_request: wants_replicas && desired.replicas.min() == 0,
        prospect: Prospect::of(desired.published, wants_replicas, ReasonCode::Accepted, None, None),
        replicas: Vec::new(),
        slots_per_replica: 0,
        context_tokens: 0,
    }
}

fn ready(view: &EndpointView, seen: &Explainer<'_>) -> Vec<RouteReplica> {
    let mut replicas: Vec<RouteReplica> = view
        .replicas
        .iter()
        .filter(|it| it.row.intent == Intent::Run)
        .filter_map(|it| {
            let ReplicaPhase::Ready { address } = seen.phase(&it.row)? else { return None };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::tests::{endpoint, world};

    #[test]
    fn routes_of_a_new_endpoint_are_there_before_and_after_a_pass_that_has_not_seen_it() {
        let mut known = endpoint(1, 1);
        known.desired.id = EndpointId::from_uuid(uuid::Uuid::from_u128(7));
        let mut world = world(known, Vec::new());
        let mut published = Published::default();
        let new = endpoint(1, 1).desired;
        let first = published.next(&RouteTable::default(), &world, Serving::default()).unwrap();
        let told = published.with_new(&first, &new, world.now).unwrap();
        let caller = crate::Principal {
            owner: new.owner.clone(),
            key: crate::keys::KeyText::from_random(&[7; _]).id(),
            role: crate::Role::Developer,
            scope: crate::Scope::default(),
        };
        let has = |table: &RouteTable| table.find(&new.id.to_string(), &caller).is_some();
        assert!(has(&told) && told.version > first.version);
        assert!(published.with_new(&told, &new, world.now).is_none());
        // This pass had looked before.
        let pass = published.next(&told, &world, Serving::default());
        assert!(has(pass.as_ref().unwrap_or(&told)));
        // One that has seen it goes by what it sees, also when it is gone again.
        world.endpoints.push(endpoint(1, 1));
        let seen = published.next(&told, &world, Serving::default()).unwrap();
        assert!(has(&seen));
        world.endpoints.pop();
        assert!(!has(&published.next(&seen, &world, Serving::default()).unwrap()));
        // What no pass ever shows is not kept for ever.
        let told = published.with_new(&first, &new, world.now).unwrap();
        world.now = world.now.plus(SHOWN_WITHIN);
        assert!(!has(&published.next(&told, &world, Serving::default()).unwrap()));
    }
}

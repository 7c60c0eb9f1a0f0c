//! The two values control plane and gateway share: routes one way, loads the other.

mod prospect;
mod publish;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::prospect::{Prospect, Wait};
pub use self::publish::{Published, Serving};
use crate::endpoint::EndpointState;
use crate::ids::{EndpointId, EndpointName, ModelName, Owner, ReplicaId};
use crate::keys::{KeyId, KeyTable, Principal};
use crate::launch::Address;
use crate::model_rights::Holders;
use crate::time::Timestamp;

/// The gateway's snapshot of the world. Replaced as a whole; a gateway cut off from the control plane
/// goes on with the last one.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    /// Grows with every published table.
    pub version: u64,
    /// One entry an endpoint, running or not, sorted by id.
    pub routes: Vec<Arc<Route>>,
    /// Models that exist on this host though they may have no endpoint, with who may know of them.
    pub models: BTreeMap<ModelName, Holders>,
    /// Keys that may use the data plane.
    pub keys: Arc<KeyTable>,
    /// Drained replicas that are ended now. A request that is still on one has had its time.
    pub ending: BTreeMap<ReplicaId, Ending>,
}

/// Why a drained replica is ended, for the requests that are still on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Whether the whole endpoint is stopped; if not, this replica is one more than it needs.
    pub stops_endpoint: bool,
    /// How long requests had to finish.
    pub drain_timeout: Duration,
}

/// What the gateway knows of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its id; inference requests may use it.
    pub endpoint: EndpointId,
    /// Its name; inference requests may use it.
    pub name: EndpointName,
    /// Whose it is.
    pub owner: Owner,
    /// What it serves.
    pub model: ModelName,
    /// The published state.
    pub state: EndpointState,
    /// Why, in a sentence; for refusals.
    pub reason: String,
    /// Whether it sleeps without a replica until a request comes (`min_replicas` 0).
    pub wakes_on_request: bool,
    /// What a request may hope for while no replica is ready.
    pub prospect: Prospect,
    /// Replicas that may get requests now, sorted by id.
    pub replicas: Vec<RouteReplica>,
    /// Requests one replica generates at the same time; more wait inside the engine.
    pub slots_per_replica: u32,
    /// Tokens of context per request.
    pub context_tokens: u32,
}

/// One ready replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteReplica {
    /// Which.
    pub id: ReplicaId,
    /// Where its engine is.
    pub address: Address,
    /// The model name its engine answers to.
    pub engine_model: String,
}

impl RouteTable {
    /// The caller's endpoint of that name or id. Another tenant's, and what the key's list does not name, is as absent
    /// as one that never was.
    pub fn find(&self, model: &str, caller: &Principal) -> Option<&Arc<Route>> {
        let id = model.parse::<EndpointId>().ok();
        self.routes
            .iter()
            .filter(|it| it.owner == caller.owner)
            .find(|it| Some(it.endpoint) == id || it.name.as_str() == model)
            .filter(|it| caller.scope.has_endpoint(it.endpoint, &it.name, &it.model))
    }

    /// Whether the caller may know that this model is on the host.
    pub fn shows_model(&self, model: &str, caller: &Principal) -> bool {
        ModelName::parse(model).is_ok_and(|it| {
            caller.scope.has_model(&it) && self.models.get(&it).is_some_and(|of| of.shows(&caller.owner))
        })
    }
}

/// What the gateway tells the control plane about the load it sees. Servers of different versions exchange it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadReport {
    /// The version of the table that new requests are routed by. A replica that is not in that table
    /// gets no request any more.
    pub routes_version: u64,
    /// Requests accepted and not finished, streams included, by replica. Absent is 0.
    pub in_flight: BTreeMap<ReplicaId, u32>,
    /// Requests in a row that ran out of time on a replica while it sent nobody a byte. Absent is 0.
    pub unanswered: BTreeMap<ReplicaId, u32>,
    /// The same as `in_flight` by endpoint, with what waits for a replica.
    pub endpoints: BTreeMap<EndpointId, EndpointLoad>,
    /// Keys that were used lately, with when they last were.
    pub keys_used: BTreeMap<KeyId, Timestamp>,
    /// When the report was made.
    pub at: Timestamp,
}

impl LoadReport {
    /// This report with what another gateway carries besides. A table is in force when both route by it.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.routes_version = all.routes_version.min(other.routes_version);
        for (replica, n) in &other.in_flight {
            let sum = all.in_flight.entry(*replica).or_default();
            *sum = sum.saturating_add(*n);
        }
        for (replica, n) in &other.unanswered {
            let most = all.unanswered.entry(*replica).or_default();
            *most = (*most).max(*n);
        }
        for (key, at) in &other.keys_used {
            let last = all.keys_used.entry(key.clone()).or_default();
            *last = (*last).max(*at);
        }
        for (endpoint, load) in &other.endpoints {
            let sum = all.endpoints.entry(*endpoint).or_default();
            sum.in_flight = sum.in_flight.saturating_add(load.in_flight);
            sum.waiting = sum.waiting.saturating_add(load.waiting);
            sum.last_finished_at = sum.last_finished_at.max(load.last_finished_at);
        }
        all
    }
}

/// Load of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointLoad {
    /// Accepted and not finished.
    pub in_flight: u32,
    /// Held until a replica is ready.
    pub waiting: u32,
    /// When the last request ended; `None` if there was none since the gateway started.
    pub last_finished_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn two_gateways_loads_add_up_and_the_older_table_counts() {
        let replica = |n| ReplicaId::from_uuid(Uuid::from_u128(n));
        let endpoint = EndpointId::from_uuid(Uuid::from_u128(9));
        let load = |in_flight, at| EndpointLoad { in_flight, waiting: 1, last_finished_at: at };
        let own = LoadReport {
            routes_version: 7,
            in_flight: BTreeMap::from([(replica(1), 1)]),
            endpoints: BTreeMap::from([(endpoint, load(1, None))]),
            unanswered: BTreeMap::new(),
            keys_used: BTreeMap::from([(KeyId("a".to_owned()), Timestamp(2))]),
            at: Timestamp(5),
        };
        let other = LoadReport {
            routes_version: 0,
            in_flight: BTreeMap::from([(replica(1), 2), (replica(2), 3)]),
            endpoints: BTreeMap::from([(endpoint, load(5, Some(Timestamp(4))))]),
            unanswered: BTreeMap::from([(replica(2), 1)]),
            keys_used: BTreeMap::from([(KeyId("a".to_owned()), Timestamp(3))]),
            at: Timestamp(3),
        };
        let both = own.with(&other);
        assert_eq!(both.in_flight, BTreeMap::from([(replica(1), 3), (replica(2), 3)]));
        let sum = EndpointLoad { in_flight: 6, waiting: 2, last_finished_at: Some(Timestamp(4)) };
        assert_eq!(both.unanswered, other.unanswered);
        assert_eq!(both.keys_used, other.keys_used, "the later use");
        assert_eq!((both.routes_version, both.endpoints[&endpoint], both.at), (0, sum, Timestamp(5)));
        let told: LoadReport = serde_json::from_str(&serde_json::to_string(&both).unwrap()).unwrap();
        assert_eq!(told, both);
    }
}

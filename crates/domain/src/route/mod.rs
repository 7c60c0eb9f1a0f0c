//! The two values control plane and gateway share: routes one way, loads the other.

mod load;
mod prospect;
mod publish;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use self::load::{EndpointLoad, LoadReport};
pub use self::prospect::{Prospect, Wait};
pub use self::publish::{Published, Serving};
use crate::endpoint::EndpointState;
use crate::ids::{EndpointId, EndpointName, ModelName, Owner, ReplicaId};
use crate::keys::{KeyTable, Principal};
use crate::launch::Address;
use crate::model_rights::Holders;

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
    /// Tenant the endpoint belongs to.
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
    /// Id of the replica.
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

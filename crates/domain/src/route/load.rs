//! What the gateway says back: how busy endpoints and replicas are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{EndpointId, ReplicaId};
use crate::keys::KeyId;
use crate::time::Timestamp;

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

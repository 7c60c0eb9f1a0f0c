//! Endpoints in quarantine: their rows can't be read, or their steps fail. They keep what they hold: none of their devices is given away, and none of their processes is begun or ended.

use std::collections::{BTreeMap, BTreeSet};

use crate::hardware::DeviceId;
use crate::ids::{EndpointId, ReplicaId};
use crate::replica::ObservedReplica;

/// Endpoints that a decision leaves as they are, with what they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quarantine {
    /// Which endpoints, as far as their ids can be read.
    pub endpoints: BTreeSet<EndpointId>,
    /// What can't be read of them, as a clause; absent where their steps fail.
    pub why: BTreeMap<EndpointId, String>,
    /// Their replicas: a process of one is no stranger, whatever its mark.
    pub replicas: BTreeSet<ReplicaId>,
    /// Their devices.
    pub devices: BTreeSet<DeviceId>,
    /// Whether the id of some replica of theirs can't be read: any process may be that one.
    pub has_nameless: bool,
}

impl Quarantine {
    /// Whether a process without a row may belong to a quarantined endpoint.
    pub fn may_own(&self, it: &ObservedReplica) -> bool {
        self.has_nameless || self.replicas.contains(&it.id)
    }
}

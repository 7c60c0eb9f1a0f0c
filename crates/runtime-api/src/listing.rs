//! What a runtime shows of its replicas.

use dedi_domain::{ObservedReplica, ReplicaId};

/// A runtime's replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Replicas whose state could be observed.
    pub replicas: Vec<ObservedReplica>,
    /// Replicas whose records can't be read: each may still be running.
    pub unreadable: Vec<Unreadable>,
}

/// A replica whose record can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The first digits of its id, as many as the record's name has.
    pub name: String,
    /// What is wrong, as a clause that names the record.
    pub why: String,
}

impl Unreadable {
    /// Whether it is that replica, as far as the name tells.
    pub fn is(&self, replica: ReplicaId) -> bool {
        replica.uuid().simple().to_string().starts_with(&self.name)
    }
}

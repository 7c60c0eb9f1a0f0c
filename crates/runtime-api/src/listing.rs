//! What a runtime shows of its replicas.

use dedi_domain::{ObservedReplica, ReplicaId};

/// What a runtime has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Those it can tell of.
    pub replicas: Vec<ObservedReplica>,
    /// Those it can't: each may live.
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

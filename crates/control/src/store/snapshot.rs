//! What a pass and an answer read: rows of one moment.

use async_trait::async_trait;
use dedi_domain::failure::Failure;
use dedi_domain::{Desired, DeviceId, ReplicaRow};

use super::error::StoreError;

/// Rows as they were at one moment: no method shows half of a transaction.
#[async_trait]
pub trait SnapshotStore: Send + Sync {
    /// Everything, deleted endpoints that still have replicas included, by id.
    ///
    /// # Errors
    ///
    /// [`StoreError::Value`] when a row can't be read.
    async fn snapshot(&self) -> Result<Vec<EndpointRows>, StoreError> {
        self.readable().await?.whole()
    }

    /// The same as far as it can be read: one bad row costs its endpoint only.
    async fn readable(&self) -> Result<Readable, StoreError>;

    /// Replicas and failures of one endpoint, which the caller has looked up within its tenant.
    async fn rows(&self, desired: Desired) -> Result<EndpointRows, StoreError>;
}

/// An endpoint with its replicas and the failures that bear on its next try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRows {
    /// What is wanted.
    pub desired: Desired,
    /// Its replicas, by id.
    pub replicas: Vec<ReplicaRow>,
    /// Oldest first: those since it was started and since a replica that had been ready last ended cleanly,
    /// which proves that it works.
    pub failures: Vec<Failure>,
}

/// What a look at the store gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readable {
    /// The endpoints that can be read, by id.
    pub endpoints: Vec<EndpointRows>,
    /// The others.
    pub unread: Vec<Unread>,
}

impl Readable {
    /// The endpoints, if all of them can be read.
    pub(super) fn whole(self) -> Result<Vec<EndpointRows>, StoreError> {
        match self.unread.into_iter().next() {
            None => Ok(self.endpoints),
            Some(Unread { id, why, .. }) => Err(StoreError::Value(format!("{why} ({id})"))),
        }
    }
}

/// An endpoint with a row that this program can't read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Its id, as it is stored.
    pub id: String,
    /// What is wrong, as a sentence.
    pub why: String,
    /// The ids of its replicas, as they are stored.
    pub replicas: Vec<String>,
    /// The devices those hold.
    pub devices: Vec<DeviceId>,
}

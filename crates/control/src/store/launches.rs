//! The history of launches, and what it says of the next one.

use std::time::Duration;

use async_trait::async_trait;
use dedi_domain::{EndpointId, EngineKind, HardwareId, ModelName, ReplicaId};

use super::error::StoreError;

/// What is kept of each launch, also after its replica is gone. [`PassStore`](super::PassStore) writes it.
#[async_trait]
pub trait LaunchStore: Send + Sync {
    /// The launches of an endpoint, newest first; at most 200.
    async fn attempts(&self, endpoint: EndpointId) -> Result<Vec<Attempt>, StoreError>;

    /// Whether the launch of a replica has ended; so has one that is not known any more.
    async fn has_ended(&self, replica: ReplicaId) -> Result<bool, StoreError>;

    /// The last lines that the launch of a replica logged; empty unless it failed.
    async fn log_tail(&self, replica: ReplicaId) -> Result<String, StoreError>;

    /// Whether anything was ever launched for this endpoint, or about to be: its model was here then.
    async fn was_launched(&self, endpoint: EndpointId) -> Result<bool, StoreError>;

    /// Whether an endpoint of that id was here and is gone for good.
    async fn is_erased(&self, endpoint: EndpointId) -> Result<bool, StoreError>;

    /// How long launches of a model on this hardware take until they are ready: the median of the last five, those of
    /// erased endpoints included.
    async fn usual_start(
        &self,
        model: &ModelName,
        hardware: &HardwareId,
    ) -> Result<Option<Duration>, StoreError>;
}

/// One launch as the history has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The replica it made.
    pub replica: ReplicaId,
    /// Counts the endpoint's launches.
    pub attempt: u32,
    /// The engine that it ran on.
    pub engine: EngineKind,
    /// Whether it has ended.
    pub has_ended: bool,
}

//! Which revision of its model each endpoint was created with.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dedi_domain::{EndpointId, Timestamp};

use super::error::StoreError;

/// The revisions that endpoints serve. A pin goes with its endpoint; what was written is durable when the method returns.
#[async_trait]
pub trait PinStore: Send + Sync {
    /// The revisions that endpoints were created with.
    async fn model_pins(&self) -> Result<BTreeMap<EndpointId, String>, StoreError>;

    /// The revision that an endpoint was created with, where that is known.
    async fn model_pin(&self, endpoint: EndpointId) -> Result<Option<String>, StoreError>;

    /// Says which revision an endpoint is of, if nobody has said so yet.
    async fn pin_model(&self, endpoint: EndpointId, pin: &str) -> Result<(), StoreError>;

    /// Pins an endpoint that has a pin to another revision, and tells so in its history, in one transaction.
    async fn repin_model(
        &self,
        endpoint: EndpointId,
        pin: &str,
        message: &str,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Tells in an endpoint's history that its model is another, unless that was told last.
    async fn tell_model_changed(
        &self,
        endpoint: EndpointId,
        message: &str,
        now: Timestamp,
    ) -> Result<(), StoreError>;
}

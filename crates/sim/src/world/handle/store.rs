//! The store, as far as a plan uses it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dedi_control::store::{Ending, Moment, PassStore, PinStore, Ready, StoreError};
use dedi_domain::{DeviceId, EndReason, EndpointId, EndpointState, Nonce, ReplicaId, Timestamp};

use super::{Call, Handle};

#[async_trait]
impl PassStore for Handle {
    async fn reserve(
        &self,
        endpoint: EndpointId,
        generation: u64,
        ids: (ReplicaId, Nonce),
        devices: &[DeviceId],
        _logged: u32,
        _now: Timestamp,
    ) -> Result<u32, StoreError> {
        self.record(Call::Reserve { endpoint, generation, ids, devices: devices.to_vec() }).await?;
        Ok(1)
    }

    async fn mark_seen(&self, replica: ReplicaId) -> Result<(), StoreError> {
        self.record(Call::MarkSeen { replica }).await
    }

    async fn mark_ready(&self, replica: ReplicaId, _ready: &Ready) -> Result<(), StoreError> {
        self.record(Call::MarkReady { replica }).await
    }

    async fn fail(
        &self,
        replica: ReplicaId,
        ending: &Ending,
        ran: Option<Moment>,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        let ran_until = ran.map(|it| it.at);
        self.record(Call::Fail { replica, cause: ending.cause, ran_until }).await
    }

    async fn drain(&self, replica: ReplicaId, reason: EndReason, _now: Timestamp) -> Result<(), StoreError> {
        self.record(Call::Drain { replica, reason }).await
    }

    async fn stop(
        &self,
        replica: ReplicaId,
        reason: EndReason,
        ran: Option<Moment>,
        _how: &str,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        self.record(Call::Stop { replica, reason, ran_until: ran.map(|it| it.at) }).await
    }

    async fn mark_gone(&self, replica: ReplicaId, _now: Timestamp) -> Result<(), StoreError> {
        self.record(Call::MarkGone { replica }).await
    }

    async fn release(
        &self,
        replica: ReplicaId,
        held: Option<&str>,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        self.record(Call::Release { replica, is_all_back: held.is_none() }).await
    }

    async fn publish(
        &self,
        endpoint: EndpointId,
        from: EndpointState,
        state: EndpointState,
        generation: u64,
        _message: &str,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        self.record(Call::Publish { endpoint, from, state, generation }).await
    }

    async fn stop_idle(
        &self,
        endpoint: EndpointId,
        generation: u64,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        self.record(Call::StopIdle { endpoint, generation }).await
    }

    async fn erase(&self, endpoint: EndpointId, _now: Timestamp) -> Result<(), StoreError> {
        self.record(Call::Erase { endpoint }).await
    }

    /// Running times are moved on by the look, before there is a plan.
    async fn beat(&self, _beats: &[(ReplicaId, Moment)]) -> Result<(), StoreError> {
        Ok(())
    }
}

/// No endpoint of a life has a revision.
#[async_trait]
impl PinStore for Handle {
    async fn model_pins(&self) -> Result<BTreeMap<EndpointId, String>, StoreError> {
        Ok(BTreeMap::new())
    }

    async fn model_pin(&self, _endpoint: EndpointId) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn pin_model(&self, _endpoint: EndpointId, _pin: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn repin_model(
        &self,
        _endpoint: EndpointId,
        _pin: &str,
        _message: &str,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    async fn tell_model_changed(
        &self,
        _endpoint: EndpointId,
        _message: &str,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        Ok(())
    }
}

//! The runtime, as far as a plan uses it.

use async_trait::async_trait;
use dedi_domain::{Capabilities, EndpointId, Inventory, Nonce, ReplicaId};
use dedi_runtime_api::{
    Launch, Listing, LogChunk, LogCursor, LogError, LogName, Logs, Placement, Runtime, RuntimeError,
};

use super::{Call, Handle};
use crate::world::devices::bit;

/// A plan only commands; what the runtime shows, the look has seen.
#[async_trait]
impl Runtime for Handle {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn ensure(&self, launch: &Launch) -> Result<(), RuntimeError> {
        let devices = match &launch.placement {
            Placement::Devices(devices) => devices.iter().fold(0, |sum, it| sum | bit(&it.id)),
            Placement::Delegated(_) => 0,
        };
        let (replica, nonce) = (launch.replica, launch.nonce);
        self.command(replica, Call::Ensure { replica, nonce, devices }).await
    }

    async fn remove(&self, replica: ReplicaId, nonce: Nonce) -> Result<(), RuntimeError> {
        self.command(replica, Call::Remove { replica, nonce }).await
    }

    async fn end(&self, replica: ReplicaId, nonce: Nonce) -> Result<(), RuntimeError> {
        self.remove(replica, nonce).await
    }

    async fn list(&self) -> Result<Listing, RuntimeError> {
        Ok(Listing::default())
    }

    async fn inventory(&self) -> Result<Inventory, RuntimeError> {
        Ok(Inventory::default())
    }

    async fn changed(&self) {}

    async fn shutdown(&self) {}
}

/// No process of a life writes a log.
#[async_trait]
impl Logs for Handle {
    async fn tail_log(
        &self,
        _log: LogName,
        _lines: usize,
        _bytes_max: usize,
        _is_over: bool,
    ) -> Result<Option<LogChunk>, LogError> {
        Ok(None)
    }

    async fn follow_log(
        &self,
        _log: LogName,
        from: &LogCursor,
        _bytes_max: usize,
        _is_over: bool,
    ) -> Result<LogChunk, LogError> {
        Ok(LogChunk { bytes: Vec::new(), next: from.clone() })
    }

    async fn last_logged_attempt(&self, _endpoint: EndpointId) -> Result<u32, LogError> {
        Ok(0)
    }

    async fn logged_endpoints(&self) -> Result<Vec<EndpointId>, LogError> {
        Ok(Vec::new())
    }

    async fn forget_logs(&self, _endpoint: EndpointId) -> Result<(), LogError> {
        Ok(())
    }
}

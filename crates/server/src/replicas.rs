//! The replicas of this server's data folder, through a runtime that is ended when another server is to have the
//! folder and opened anew when that one gives it back.

use std::sync::Arc;

use async_trait::async_trait;
use dedi_domain::{Capabilities, EndpointId, Inventory, Nonce, ReplicaId};
use dedi_runtime_api::{
    Launch, Listing, LogChunk, LogCursor, LogError, LogName, Logs, Runtime, RuntimeError,
};
use parking_lot::RwLock;

/// The runtime of the moment.
pub(crate) struct Replicas(RwLock<Arc<dyn Runtime>>);

impl Replicas {
    pub(crate) fn new(runtime: Arc<dyn Runtime>) -> Self {
        Self(RwLock::new(runtime))
    }

    /// Goes on with a newly opened runtime.
    pub(crate) fn replace(&self, runtime: Arc<dyn Runtime>) {
        *self.0.write() = runtime;
    }

    fn now(&self) -> Arc<dyn Runtime> {
        self.0.read().clone()
    }
}

#[async_trait]
impl Logs for Replicas {
    async fn tail_log(
        &self,
        log: LogName,
        lines: usize,
        bytes_max: usize,
        is_over: bool,
    ) -> Result<Option<LogChunk>, LogError> {
        self.now().tail_log(log, lines, bytes_max, is_over).await
    }

    async fn follow_log(
        &self,
        log: LogName,
        from: &LogCursor,
        bytes_max: usize,
        is_over: bool,
    ) -> Result<LogChunk, LogError> {
        self.now().follow_log(log, from, bytes_max, is_over).await
    }

    async fn last_logged_attempt(&self, endpoint: EndpointId) -> Result<u32, LogError> {
        self.now().last_logged_attempt(endpoint).await
    }

    async fn logged_endpoints(&self) -> Result<Vec<EndpointId>, LogError> {
        self.now().logged_endpoints().await
    }

    async fn forget_logs(&self, endpoint: EndpointId) -> Result<(), LogError> {
        self.now().forget_logs(endpoint).await
    }
}

#[async_trait]
impl Runtime for Replicas {
    fn capabilities(&self) -> Capabilities {
        self.now().capabilities()
    }

    async fn ensure(&self, launch: &Launch) -> Result<(), RuntimeError> {
        self.now().ensure(launch).await
    }

    async fn remove(&self, replica: ReplicaId, nonce: Nonce) -> Result<(), RuntimeError> {
        self.now().remove(replica, nonce).await
    }

    async fn end(&self, replica: ReplicaId, nonce: Nonce) -> Result<(), RuntimeError> {
        self.now().end(replica, nonce).await
    }

    async fn list(&self) -> Result<Listing, RuntimeError> {
        self.now().list().await
    }

    async fn inventory(&self) -> Result<Inventory, RuntimeError> {
        self.now().inventory().await
    }

    async fn changed(&self) {
        self.now().changed().await;
    }

    async fn shutdown(&self) {
        self.now().shutdown().await;
    }
}

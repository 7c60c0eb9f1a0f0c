//! The replicas of this server's data folder, through a runtime that is ended when another server is to have the
//! folder and opened anew when that one gives it back.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use dedi_domain::{Inventory, Launch, Nonce, ReplicaId};
use dedi_runtime::process::ProcessRuntime;
use dedi_runtime::{Listing, Runtime, RuntimeError};

/// The runtime of the moment.
#[derive(Debug)]
pub(crate) struct Replicas(RwLock<Arc<ProcessRuntime>>);

impl Replicas {
    pub(crate) fn new(runtime: Arc<ProcessRuntime>) -> Self {
        Self(RwLock::new(runtime))
    }

    /// Goes on with a newly opened runtime.
    pub(crate) fn replace(&self, runtime: Arc<ProcessRuntime>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = runtime;
    }

    /// Ends the runtime's tasks; replicas go on.
    pub(crate) async fn shutdown(&self) {
        self.now().shutdown().await;
    }

    fn now(&self) -> Arc<ProcessRuntime> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Runtime for Replicas {
    async fn ensure(&self, launch: &Launch) -> Result<(), RuntimeError> {
        self.now().ensure(launch).await
    }

    async fn remove(&self, replica: ReplicaId, nonce: Nonce) -> Result<(), RuntimeError> {
        self.now().remove(replica, nonce).await
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
}

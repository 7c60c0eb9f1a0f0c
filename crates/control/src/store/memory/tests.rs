//! The store in memory keeps what the traits promise.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::MemoryStore;
use crate::store::Store;
use crate::store::conformance::{Factory, conformance};

struct InMemory(MemoryStore);

#[async_trait]
impl Factory for InMemory {
    fn new() -> Self {
        Self(MemoryStore::new(Uuid::new_v4()))
    }

    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.0.other())
    }
}

conformance!(InMemory);

//! The store in a file keeps what the traits promise, and what only a file can be tested for.

mod end_reasons;
pub(super) mod file;
mod running_times;
mod schemas;
mod statements;

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::SqliteStore;
use crate::store::Store;
use crate::store::conformance::{Factory, NOW, conformance};

struct OnDisk(tempfile::TempDir);

#[async_trait]
impl Factory for OnDisk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.0.path().join("state.db"), Uuid::new_v4(), NOW).await.unwrap())
    }
}

conformance!(OnDisk);

use std::path::Path;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use uuid::Uuid;

use super::MemoryStore;
use crate::store::{BackupError, Upkeep};

#[async_trait]
impl Upkeep for MemoryStore {
    fn installation(&self) -> Uuid {
        self.installation
    }

    async fn backup(&self, to: &Path) -> Result<u64, BackupError> {
        Err(BackupError::Name { path: to.to_owned(), why: "a store in memory has no copies" })
    }

    async fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }
}

//! The file as a whole.

use std::path::Path;

use async_trait::async_trait;
use uuid::Uuid;

use super::SqliteStore;
use super::backup::{backup, backup_of};
use crate::store::{BackupError, Leadership, Upkeep};

#[async_trait]
impl Upkeep for SqliteStore {
    fn installation(&self) -> Uuid {
        self.installation
    }

    /// Also where the file has no path any more.
    async fn backup(&self, to: &Path) -> Result<u64, BackupError> {
        match self.check_place() {
            Ok(()) => backup(&self.place.path, to).await,
            Err(_gone) => backup_of(&self.reader, &self.place.path, to).await,
        }
    }

    async fn close(&self) {
        *self.paused.lock() = None;
        self.reader.close().await;
        self.writer.close().await;
    }
}

//! The lead on one host: whoever holds the lock file beside the database.

use std::time::Duration;

use async_trait::async_trait;

use super::open::known_schema;
use super::{DataLock, SqliteStore};
use crate::store::{LeaderLock, Leadership, StoreError};

#[async_trait]
impl Leadership for SqliteStore {
    fn check_place(&self) -> Result<(), StoreError> {
        self.place.check()
    }

    async fn pause(&self) -> Result<(), StoreError> {
        let writer = self.writer.acquire().await?;
        *self.paused() = Some(writer);
        Ok(())
    }

    async fn resume(&self) -> Result<(), StoreError> {
        self.check_place()?;
        known_schema(&self.place.path, &self.reader).await?;
        *self.paused() = None;
        Ok(())
    }
}

impl LeaderLock for DataLock {
    fn say_ending(&mut self, within: Duration) {
        self.write_ending(within);
    }
}

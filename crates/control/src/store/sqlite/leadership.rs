//! The lead on one host: whoever holds the lock file beside the database.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;

use super::open::known_schema;
use super::rows::count;
use super::{DataLock, SqliteStore};
use crate::store::{Epoch, LeaderLock, Leadership, StoreError};

#[async_trait]
impl Leadership for SqliteStore {
    async fn lead(&self) -> Result<Epoch, StoreError> {
        let mut tx = self.write().await?;
        let next: i64 =
            sqlx::query_scalar(sql!("UPDATE meta SET epoch = epoch + 1 WHERE one = 1 RETURNING epoch"))
                .fetch_one(&mut *tx)
                .await?;
        self.commit(tx, "lead").await?;
        self.epoch.store(next, Ordering::Release);
        Ok(Epoch(count(next)?))
    }

    fn check_place(&self) -> Result<(), StoreError> {
        self.place.check()
    }

    async fn pause(&self) -> Result<(), StoreError> {
        let writer = self.writer.acquire().await?;
        *self.paused.lock() = Some(writer);
        Ok(())
    }

    async fn resume(&self) -> Result<(), StoreError> {
        self.check_place()?;
        known_schema(&self.place.path, &self.reader).await?;
        *self.paused.lock() = None;
        Ok(())
    }
}

impl LeaderLock for DataLock {
    fn say_ending(&mut self, within: Duration) {
        self.write_ending(within);
    }
}

use std::sync::atomic::Ordering;

use async_trait::async_trait;

use super::MemoryStore;
use crate::store::{Epoch, Leadership, StoreError};

#[async_trait]
impl Leadership for MemoryStore {
    async fn lead(&self) -> Result<Epoch, StoreError> {
        let mut tables = self.write()?;
        tables.epoch += 1;
        self.epoch.store(tables.epoch, Ordering::Release);
        Ok(Epoch(tables.epoch))
    }

    fn check_place(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn pause(&self) -> Result<(), StoreError> {
        self.is_paused.store(true, Ordering::Release);
        Ok(())
    }

    async fn resume(&self) -> Result<(), StoreError> {
        self.is_paused.store(false, Ordering::Release);
        Ok(())
    }
}

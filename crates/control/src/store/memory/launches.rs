use std::time::Duration;

use async_trait::async_trait;
use dedi_domain::{EndpointId, HardwareId, ModelName, ReplicaId};

use super::MemoryStore;
use crate::store::{Attempt, LaunchStore, StoreError};

const ATTEMPTS_SHOWN: usize = 200;

#[async_trait]
impl LaunchStore for MemoryStore {
    async fn attempts(&self, endpoint: EndpointId) -> Result<Vec<Attempt>, StoreError> {
        let tables = self.read()?;
        let of = tables.launches.iter().rev().filter(|it| it.endpoint == endpoint).take(ATTEMPTS_SHOWN);
        Ok(of
            .map(|it| Attempt {
                replica: it.replica,
                attempt: it.attempt,
                engine: it.engine.clone(),
                has_ended: it.ended_at.is_some(),
            })
            .collect())
    }

    async fn has_ended(&self, replica: ReplicaId) -> Result<bool, StoreError> {
        Ok(self.read()?.launch(replica).is_none_or(|it| it.ended_at.is_some()))
    }

    async fn log_tail(&self, replica: ReplicaId) -> Result<String, StoreError> {
        Ok(self.read()?.launch(replica).map_or(String::new(), |it| it.log_tail.clone()))
    }

    async fn was_launched(&self, endpoint: EndpointId) -> Result<bool, StoreError> {
        Ok(self.read()?.launches.iter().any(|it| it.endpoint == endpoint))
    }

    async fn is_erased(&self, endpoint: EndpointId) -> Result<bool, StoreError> {
        Ok(self.read()?.erased.contains_key(&endpoint))
    }

    async fn usual_start(
        &self,
        model: &ModelName,
        hardware: &HardwareId,
    ) -> Result<Option<Duration>, StoreError> {
        let tables = self.read()?;
        let kind = (model.as_str().to_owned(), hardware.as_str().to_owned());
        let mut took = tables.start_times.get(&kind).cloned().unwrap_or_default();
        took.sort_unstable();
        Ok(took.get(took.len() / 2).map(|it| Duration::from_millis(it.unsigned_abs())))
    }
}

use async_trait::async_trait;
use dedi_domain::{EndpointId, Timestamp};

use super::MemoryStore;
use crate::store::{EventKind, EventRecord, EventStore, StoreError};

#[async_trait]
impl EventStore for MemoryStore {
    async fn events(
        &self,
        endpoint: EndpointId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<EventRecord>, StoreError> {
        let tables = self.read()?;
        let of = tables.events.iter().filter(|(of, it)| *of == endpoint && it.id > after);
        Ok(of.map(|(_, it)| it.clone()).take(limit as usize).collect())
    }

    async fn note(
        &self,
        endpoint: EndpointId,
        kind: EventKind,
        message: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write()?.add_event(now, endpoint, None, kind, message);
        Ok(())
    }

    async fn forget_events(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut tables = self.write()?;
        let n_all = tables.events.len();
        tables.events.retain(|(_, it)| it.at >= before);
        Ok((n_all - tables.events.len()) as u64)
    }
}

use async_trait::async_trait;
use dedi_domain::Timestamp;
use dedi_domain::time::Span;

use super::MemoryStore;
use crate::store::{ClockStore, StoreError};

const SPANS_MAX: usize = 1_000;

#[async_trait]
impl ClockStore for MemoryStore {
    async fn clock_spans(&self) -> Result<Vec<Span>, StoreError> {
        Ok(self.read()?.spans.values().copied().collect())
    }

    async fn write_clock_span(&self, span: Span) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        tables.spans.insert(span.begins_at, span);
        while tables.spans.len() > SPANS_MAX {
            tables.spans.pop_first();
        }
        Ok(())
    }

    async fn newest_stamp(&self) -> Result<Timestamp, StoreError> {
        let tables = self.read()?;
        let events = tables.events.last().map(|(_, it)| it.at);
        let audit = tables.audit.last().map(|it| Timestamp(it.at));
        let open = tables.usage.values().filter(|it| !it.is_closed).map(|it| it.seen.at);
        let shown = tables.endpoints.values().flat_map(|it| [it.published_at, it.started_at]);
        Ok(events.into_iter().chain(audit).chain(open).chain(shown).max().unwrap_or_default())
    }
}

//! How far the times that are shown are from the stamps that were written.

use async_trait::async_trait;
use dedi_domain::Timestamp;
use dedi_domain::time::Span;

use super::error::StoreError;

/// What a run of the server leaves for the next one's clock.
#[async_trait]
pub trait ClockStore: Send + Sync {
    /// The spans of earlier runs, by their beginning; at most 1,000, the newest.
    async fn clock_spans(&self) -> Result<Vec<Span>, StoreError>;

    /// Writes a span, in the place of one with the same beginning; durable when the method returns.
    async fn write_clock_span(&self, span: Span) -> Result<(), StoreError>;

    /// The newest stamp in the store; the epoch for an empty one. Every change writes an event with its time, but for the
    /// running times of replicas.
    async fn newest_stamp(&self) -> Result<Timestamp, StoreError>;
}

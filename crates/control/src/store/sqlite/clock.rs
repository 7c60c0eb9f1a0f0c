//! How far the times that are shown are from the stamps that were written.

use std::path::Path;

use async_trait::async_trait;
use dedi_domain::Timestamp;
use dedi_domain::time::{Span, Timeline};

use super::SqliteStore;
use super::open::connect_to_read;
use crate::store::{ClockStore, StoreError};

/// Spans that are kept. Only a server that starts under a wrong clock writes one.
const SPANS_MAX: i64 = 1_000;

impl SqliteStore {
    /// The last record of a database, as it is shown; `None` where there is none. Reads only, so that a server may use it
    /// meanwhile.
    pub async fn last_record(path: &Path) -> Result<Option<Timestamp>, StoreError> {
        let pool = connect_to_read(path).await?;
        let read = async {
            // Databases of earlier schemas have none of the newer tables.
            let spans: Vec<(i64, i64)> = sqlx::query_as(sql!("SELECT begins_at, offset_ms FROM clock_spans"))
                .fetch_all(&pool)
                .await
                .unwrap_or_default();
            let newest: Option<i64> =
                sqlx::query_scalar(sql!("SELECT at FROM events ORDER BY id DESC LIMIT 1"))
                    .fetch_optional(&pool)
                    .await?;
            let newest = newest.map(Timestamp);
            let span = |(begins_at, offset_ms)| Span { begins_at: Timestamp(begins_at), offset_ms };
            let times = Timeline::of(spans.into_iter().map(span).collect());
            Ok::<_, StoreError>(newest.map(|it| times.shown(it)))
        };
        let read = read.await;
        pool.close().await;
        read
    }
}

#[async_trait]
impl ClockStore for SqliteStore {
    async fn clock_spans(&self) -> Result<Vec<Span>, StoreError> {
        let rows: Vec<(i64, i64)> =
            sqlx::query_as(sql!("SELECT begins_at, offset_ms FROM clock_spans ORDER BY begins_at"))
                .fetch_all(&self.reader)
                .await?;
        let span = |(begins_at, offset_ms)| Span { begins_at: Timestamp(begins_at), offset_ms };
        Ok(rows.into_iter().map(span).collect())
    }

    async fn write_clock_span(&self, span: Span) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(sql!("INSERT OR REPLACE INTO clock_spans (begins_at, offset_ms) VALUES (?, ?)"))
            .bind(span.begins_at.0)
            .bind(span.offset_ms)
            .execute(&mut *tx)
            .await?;
        sqlx::query(sql!(
            "DELETE FROM clock_spans WHERE begins_at NOT IN \
             (SELECT begins_at FROM clock_spans ORDER BY begins_at DESC LIMIT ?)"
        ))
        .bind(SPANS_MAX)
        .execute(&mut *tx)
        .await?;
        self.commit(tx, "clock-span").await
    }

    async fn newest_stamp(&self) -> Result<Timestamp, StoreError> {
        let newest: Option<i64> = sqlx::query_scalar(sql!(
            "SELECT max(at) FROM (\
                SELECT at FROM (SELECT at FROM events ORDER BY id DESC LIMIT 1) \
                UNION ALL SELECT max(seen_at) FROM usage WHERE closed = 0 \
                UNION ALL SELECT at FROM (SELECT at FROM audit ORDER BY id DESC LIMIT 1) \
                UNION ALL SELECT max(published_at) FROM endpoints \
                UNION ALL SELECT max(started_at) FROM endpoints)"
        ))
        .fetch_one(&self.reader)
        .await?;
        Ok(Timestamp(newest.unwrap_or(0)))
    }
}

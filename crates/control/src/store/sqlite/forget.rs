//! Rows that are too old to be kept.

use dedi_domain::Timestamp;

use super::SqliteStore;
use crate::store::StoreError;

/// Rows that go in one transaction, so that other writers have their turn in between.
const BATCH: u64 = 5_000;
/// Such transactions in a row. Somebody waits for them, and there are more than four times as many rows in an hour as a
/// hundred endpoints write that fall asleep and are woken every minute.
const BATCHES_MAX: usize = 20;

impl SqliteStore {
    /// Deletes with `sql`, which takes a moment and a number of rows, until nothing is left or it is enough for
    /// now.
    pub(super) async fn forget(
        &self,
        step: &'static str,
        sql: &'static str,
        before: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut n_gone = 0;
        for _ in 0..BATCHES_MAX {
            let mut tx = self.write().await?;
            let n_now = sqlx::query(sql)
                .bind(before.0)
                .bind(BATCH.cast_signed())
                .execute(&mut *tx)
                .await?
                .rows_affected();
            self.commit(tx, step).await?;
            n_gone += n_now;
            if n_now < BATCH {
                break;
            }
        }
        Ok(n_gone)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Row;
    use uuid::Uuid;

    use super::*;
    use crate::store::EventStore as _;

    #[tokio::test]
    async fn all_that_is_too_old_goes_and_is_found_by_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let store =
            SqliteStore::open(&dir.path().join("state.db"), Uuid::new_v4(), Timestamp(0)).await.unwrap();
        let n_old = BATCH * 2 + 1;
        let mut tx = store.write().await.unwrap();
        sqlx::query(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) \
             INSERT INTO events (at, endpoint, kind, message) SELECT 1_000 + (i = 7), 'e', 'k', '' FROM n",
        )
        .bind(n_old.cast_signed() + 1)
        .execute(&mut *tx)
        .await
        .unwrap();
        store.commit(tx, "test").await.unwrap();
        assert_eq!(store.forget_events(Timestamp(1_000)).await.unwrap(), 0);
        assert_eq!(store.forget_events(Timestamp(1_001)).await.unwrap(), n_old, "all but the younger one");
        assert_eq!(store.forget_events(Timestamp(1_002)).await.unwrap(), 1);

        let plan = sqlx::query("EXPLAIN QUERY PLAN SELECT id FROM events WHERE at < 1 ORDER BY at LIMIT 1");
        let plan: String = plan.fetch_one(&store.reader).await.unwrap().get("detail");
        assert!(plan.contains("events_by_time (at<?)"), "{plan}");
    }
}

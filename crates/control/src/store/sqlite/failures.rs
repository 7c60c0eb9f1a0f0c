//! The failures that bear on an endpoint's next try.

use std::collections::BTreeMap;
use std::time::Duration;

use dedi_domain::Timestamp;
use dedi_domain::failure::Failure;
use sqlx::{FromRow, Row, Sqlite, Transaction};

use super::rows::{bad, parse_cause, small};
use super::snapshot::BadRows;
use crate::store::StoreError;

/// The latest failures that count for the back-off; more would not change a verdict. As many as are kept: when the
/// replicas of an endpoint end all at once, they fill it with few moments.
const FAILURES_MAX: i64 = 200;

#[derive(FromRow)]
struct FailureRow {
    attempt: i64,
    cause: String,
    ended_at: i64,
    ready_at: Option<i64>,
    detail: String,
}

impl TryFrom<FailureRow> for Failure {
    type Error = StoreError;

    fn try_from(row: FailureRow) -> Result<Self, StoreError> {
        let at = Timestamp(row.ended_at);
        Ok(Self {
            attempt: small(row.attempt)?,
            cause: parse_cause(&row.cause)?,
            at,
            ready_for: row.ready_at.map_or(Duration::ZERO, |it| at.since(Timestamp(it))),
            detail: row.detail,
        })
    }
}

/// Only the columns that are wanted go through the windows: a row's log would go with them. Both looks into `attempts`
/// are served by an index of their own.
const FAILURES: &str = sql!(
    "\
WITH counted AS MATERIALIZED (
    SELECT e.id, max(e.started_at, coalesce((
        SELECT max(c.ended_at) FROM attempts c
        WHERE c.endpoint = e.id AND c.cause IS NULL AND c.ready_at IS NOT NULL) + 1, 0)) AS since
    FROM endpoints e WHERE ?1 IS NULL OR e.id = ?1)
SELECT endpoint, attempt, cause, ended_at, ready_at, detail FROM (
    SELECT a.endpoint, a.attempt, a.cause, a.ended_at, a.ready_at, a.detail,
        row_number() OVER (PARTITION BY a.endpoint ORDER BY a.ended_at DESC, a.attempt DESC) AS newest,
        row_number() OVER (PARTITION BY a.endpoint ORDER BY a.ended_at, a.attempt) AS oldest
    FROM counted CROSS JOIN attempts a
    WHERE a.endpoint = counted.id AND a.cause IS NOT NULL AND a.ended_at >= counted.since
) WHERE newest <= ?2 OR oldest = 1
ORDER BY endpoint, ended_at, attempt"
);

/// Failures of all endpoints, or `only` of one, by endpoint; what can't be read goes to `bad_rows`.
pub(super) async fn failures(
    tx: &mut Transaction<'static, Sqlite>,
    only: Option<&str>,
    bad_rows: &mut BadRows,
) -> Result<BTreeMap<String, Vec<Failure>>, StoreError> {
    let rows = sqlx::query(FAILURES).bind(only).bind(FAILURES_MAX).fetch_all(&mut **tx).await?;
    let mut failures_of: BTreeMap<String, Vec<Failure>> = BTreeMap::new();
    for row in rows {
        let endpoint: String = row.try_get("endpoint")?;
        match FailureRow::from_row(&row).map_err(bad).and_then(Failure::try_from) {
            Ok(it) => failures_of.entry(endpoint).or_default().push(it),
            Err(err) => {
                bad_rows.insert(endpoint, err.to_string());
            }
        }
    }
    Ok(failures_of)
}

#[cfg(test)]
mod tests {
    use dedi_domain::EndpointName;
    use uuid::Uuid;

    use super::super::SqliteStore;
    use super::super::tests::file::with_owner;
    use super::*;
    use crate::reconciler::tests::desired;
    use crate::store::{EndpointStore as _, NewEndpoint};

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    /// A launch of one of the endpoints, as small numbers.
    #[derive(Clone, Debug)]
    struct Launch {
        endpoint: usize,
        attempt: i64,
        was_ready: bool,
        ended_at: Option<i64>,
        has_failed: bool,
    }

    /// What [`FAILURES`] says in words, without a limit: the attempts' numbers, in order.
    fn expected(all: &[Launch], endpoint: usize, started_at: i64) -> Vec<i64> {
        let own = || all.iter().filter(move |it| it.endpoint == endpoint);
        let proven = own().filter(|it| !it.has_failed && it.was_ready).filter_map(|it| it.ended_at).max();
        let mut failed: Vec<(i64, i64)> = own()
            .filter(|it| it.has_failed)
            .filter_map(|it| Some((it.ended_at?, it.attempt)))
            .filter(|(ended_at, _)| *ended_at >= started_at && proven.is_none_or(|it| *ended_at > it))
            .collect();
        failed.sort_unstable();
        failed.into_iter().map(|(_, attempt)| attempt).collect()
    }

    async fn store_with(
        launches: &[Launch],
        started_at: &[i64],
    ) -> (tempfile::TempDir, SqliteStore, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let store = with_owner(&dir.path().join("state.db")).await;
        let mut ids = Vec::new();
        for started_at in started_at {
            let mut one = desired(1, 1);
            one.id = format!("endpoint-{}", Uuid::new_v4()).parse().unwrap();
            one.name = EndpointName::parse(&format!("local/demo-{:08x}", ids.len())).unwrap();
            let new = NewEndpoint {
                desired: one.clone(),
                idempotency: None,
                quota: 100,
                pin: None,
                by: crate::store::Actor::SERVER,
            };
            store.insert_endpoint(&new, NOW).await.unwrap();
            let id = one.id.to_string();
            let mut tx = store.write().await.unwrap();
            sqlx::query("UPDATE endpoints SET started_at = ? WHERE id = ?")
                .bind(started_at)
                .bind(&id)
                .execute(&mut *tx)
                .await
                .unwrap();
            store.commit(tx, "test").await.unwrap();
            ids.push(id);
        }
        let mut tx = store.write().await.unwrap();
        for it in launches {
            sqlx::query(
                "INSERT INTO attempts (replica, endpoint, attempt, model, reserved_at, ready_at, ended_at, cause) \
                 VALUES (?, ?, ?, 'm', 0, ?, ?, ?)",
            )
            .bind(Uuid::new_v4().to_string())
            .bind(&ids[it.endpoint])
            .bind(it.attempt)
            .bind(it.was_ready.then_some(0))
            .bind(it.ended_at)
            .bind(it.has_failed.then_some("engine_exited"))
            .execute(&mut *tx)
            .await
            .unwrap();
        }
        store.commit(tx, "test").await.unwrap();
        (dir, store, ids)
    }

    #[tokio::test]
    async fn failures_since_the_start_and_since_it_last_worked_count_and_no_other() {
        let mut state = 7_u64;
        let mut below = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        for _ in 0..20 {
            let started_at: Vec<i64> = (0..4).map(|_| below(8).cast_signed()).collect();
            let launches: Vec<Launch> = (0..40)
                .map(|n| Launch {
                    endpoint: usize::try_from(below(4)).unwrap(),
                    attempt: n,
                    was_ready: below(2) == 0,
                    ended_at: (below(5) > 0).then(|| below(20).cast_signed()),
                    has_failed: below(4) > 0,
                })
                .map(|it| Launch { has_failed: it.has_failed && it.ended_at.is_some(), ..it })
                .collect();
            let (_dir, store, ids) = store_with(&launches, &started_at).await;
            let numbers = |it: Option<&Vec<Failure>>| -> Vec<i64> {
                it.into_iter().flatten().map(|it| i64::from(it.attempt)).collect()
            };
            let (mut bad_rows, mut tx) = (BadRows::new(), store.read().await.unwrap());
            let all = failures(&mut tx, None, &mut bad_rows).await.unwrap();
            for (n, id) in ids.iter().enumerate() {
                let wanted = expected(&launches, n, started_at[n]);
                assert_eq!(numbers(all.get(id)), wanted, "{launches:?}");
                let one = failures(&mut tx, Some(id), &mut bad_rows).await.unwrap();
                assert_eq!(
                    (numbers(one.get(id)), one.len()),
                    (wanted.clone(), usize::from(!wanted.is_empty()))
                );
            }
            assert!(bad_rows.is_empty());
        }
    }

    /// Lines of the plan by which SQLite runs it.
    async fn plan(store: &SqliteStore, sql: &str) -> Vec<String> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
        let rows = rows.fetch_all(&store.reader).await.unwrap();
        rows.iter().map(|it| it.get("detail")).collect()
    }

    #[tokio::test]
    async fn a_pass_walks_through_no_history_of_launches() {
        let (_dir, store, _) = store_with(&[], &[]).await;
        let plan = plan(&store, FAILURES).await;
        let looks: Vec<&String> = plan.iter().filter(|it| it.contains(" a ") || it.contains(" c ")).collect();
        assert!(
            looks.iter().any(|it| it.contains("attempts_failed (endpoint=? AND ended_at>?)")),
            "{plan:#?}"
        );
        assert!(looks.iter().any(|it| it.contains("attempts_proven (endpoint=?)")), "{plan:#?}");
        assert!(!looks.iter().any(|it| it.starts_with("SCAN")), "{plan:#?}");
    }
}

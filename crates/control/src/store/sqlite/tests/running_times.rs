//! What the database itself refuses of running times.

use dedi_domain::usage::Period;
use dedi_domain::{DeviceId, FailureCause, ReplicaId, Timestamp};

use super::super::SqliteStore;
use super::file::with_owner;
use crate::store::conformance::{NOW, after, ending, ids, later, ready, reserved, stored};
use crate::store::*;

/// A replica that has just become ready.
struct Rows {
    store: SqliteStore,
    endpoint: dedi_domain::Desired,
    replica: ReplicaId,
    _dir: tempfile::TempDir,
}

impl Rows {
    async fn ready() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = with_owner(&dir.path().join("state.db")).await;
        let endpoint = stored(&store).await;
        let replica = reserved(&store, &endpoint, "cpu-0").await;
        store.mark_ready(replica, &ready(after(0))).await.unwrap();
        Self { store, endpoint, replica, _dir: dir }
    }

    /// Milliseconds recorded, and whether they may become more.
    async fn ran(&self) -> (u128, bool) {
        let always = Period { from: Timestamp(i64::MIN), to: Timestamp(i64::MAX) };
        let all = self.store.usage(&self.endpoint.owner, always, None, &|_| 1.0).await.unwrap();
        (all[0].usage.ran.as_millis(), all[0].is_running)
    }
}

#[tokio::test]
async fn the_database_refuses_to_take_time_back() {
    let rows = Rows::ready().await;
    rows.store.beat(&[(rows.replica, after(5_000))]).await.unwrap();
    let writer = rows.store.writer_for_tests();
    let refused = async |change: &'static str| {
        let done = sqlx::query(sqlx::AssertSqlSafe(format!("UPDATE usage SET {change}"))).execute(&writer);
        assert!(done.await.is_err(), "{change}");
    };
    refused("until = until - 1").await;
    refused("ready_at = ready_at - 1").await;
    refused("until = ready_at - 1").await;
    let end = ending(FailureCause::EngineExited);
    rows.store.fail(rows.replica, &end, None, later(900_000)).await.unwrap();
    refused("until = until + 1").await;
    refused("closed = 0").await;
    assert_eq!(rows.ran().await, (5_000, false));
}

#[tokio::test]
async fn a_beat_is_of_all_replicas_or_of_none() {
    let rows = Rows::ready().await;
    let writer = rows.store.writer_for_tests();
    let ids = ids();
    rows.store.reserve(rows.endpoint.id, 1, ids, &[DeviceId::local("cpu-1")], 0, NOW).await.unwrap();
    rows.store.mark_ready(ids.0, &ready(after(0))).await.unwrap();
    let trap = format!(
        "CREATE TRIGGER trap BEFORE UPDATE ON usage WHEN NEW.replica = '{}' BEGIN SELECT RAISE(ABORT, 'planned'); END",
        ids.0
    );
    sqlx::query(sqlx::AssertSqlSafe(trap)).execute(&writer).await.unwrap();
    let both = [(rows.replica, after(5_000)), (ids.0, after(5_000))];
    assert!(rows.store.beat(&both).await.is_err());
    assert_eq!(rows.ran().await, (0, true));
    sqlx::query("DROP TRIGGER trap").execute(&writer).await.unwrap();
    rows.store.beat(&both).await.unwrap();
    assert_eq!(rows.ran().await, (10_000, true));
}

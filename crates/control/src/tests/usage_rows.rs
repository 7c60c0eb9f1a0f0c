//! The rows of running times on a real file: they only grow, end once, and outlive what they are about.

use std::path::Path;

use dedi_domain::usage::Period;
use dedi_domain::{Desired, DeviceId, EndReason, FailureCause, Nonce, ReplicaId, Timestamp};
use uuid::Uuid;

use super::storage::{new, store, with_owner};
use crate::reconciler::tests::desired;
use crate::store::*;

const NOW: Timestamp = Timestamp(1_000_000);
const ALWAYS: Period = Period { from: Timestamp(i64::MIN), to: Timestamp(i64::MAX) };

/// So long after the first moment, by both clocks.
fn after(ms: i64) -> Moment {
    both(ms, ms)
}

fn both(clock_ms: i64, uptime_ms: i64) -> Moment {
    Moment { at: Timestamp(NOW.0 + clock_ms), uptime_ms: 5_000 + uptime_ms }
}

fn ending() -> Ending {
    Ending {
        cause: FailureCause::EngineExited,
        code: Some(1),
        signal: None,
        detail: String::new(),
        log_tail: String::new(),
    }
}

struct Rows {
    store: SqliteStore,
    endpoint: Desired,
    replica: ReplicaId,
    dir: tempfile::TempDir,
}

/// A replica that has just become ready.
async fn ready() -> Rows {
    let dir = tempfile::tempdir().unwrap();
    let store = with_owner(&dir.path().join("state.db")).await;
    let endpoint = desired(1, 1);
    store.insert_endpoint(&new(endpoint.clone()), NOW).await.unwrap();
    let replica = ReplicaId::from_uuid(Uuid::new_v4());
    let ids = (replica, Nonce::from_uuid(Uuid::new_v4()));
    store.reserve(endpoint.id, 1, ids, &[DeviceId::local("cpu-0")], 0, NOW).await.unwrap();
    let ready = Ready { at: after(0), isolation: None, cents_per_minute: 6.0 };
    store.mark_ready(replica, &ready).await.unwrap();
    Rows { store, endpoint, replica, dir }
}

impl Rows {
    async fn beat(&self, until: Moment) {
        self.store.beat(&[(self.replica, until)]).await.unwrap();
    }

    async fn fail(&self, ran: Option<Moment>) {
        self.store.fail(self.replica, &ending(), ran, Timestamp(NOW.0 + 900_000)).await.unwrap();
    }

    async fn usage(&self) -> EndpointUsage {
        let all = self.store.usage(&self.endpoint.owner, ALWAYS, None, &|_| 1.0).await.unwrap();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }

    /// Milliseconds recorded, and whether they may become more.
    async fn ran(&self) -> (u128, bool) {
        let usage = self.usage().await;
        (usage.usage.ran.as_millis(), usage.is_running)
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("state.db")
    }

    /// The same file, after a server that had no time to close it.
    async fn reopen(self) -> Self {
        let path: &Path = &self.path();
        let store = store(path).await.unwrap();
        store.lead().await.unwrap();
        Self { store, ..self }
    }
}

#[tokio::test]
async fn a_running_time_follows_its_beats_and_ends_once() {
    let rows = ready().await;
    assert_eq!(rows.ran().await, (0, true));
    rows.beat(after(5_000)).await;
    assert_eq!(rows.ran().await, (5_000, true));
    rows.beat(after(3_000)).await;
    assert_eq!(rows.ran().await, (5_000, true), "a beat that comes late takes nothing back");
    rows.fail(Some(after(7_000))).await;
    assert_eq!(rows.ran().await, (7_000, false));
    rows.fail(Some(after(60_000))).await;
    rows.store
        .stop(rows.replica, EndReason::StopRequested, Some(after(60_000)), "being ended", NOW)
        .await
        .unwrap();
    rows.beat(after(70_000)).await;
    rows.store.release(rows.replica, None, NOW).await.unwrap();
    rows.beat(after(80_000)).await;
    assert_eq!(rows.ran().await, (7_000, false));
    let usage = rows.usage().await.usage;
    assert!(usage.n_replicas == 1 && (usage.cents - 0.7).abs() < 1e-9, "{usage:?}");
}

#[tokio::test]
async fn an_end_that_is_not_known_adds_nothing_and_an_early_one_takes_nothing() {
    for ran in [None, Some(after(2_000)), Some(after(-60_000))] {
        let rows = ready().await;
        rows.beat(after(5_000)).await;
        rows.fail(ran).await;
        assert_eq!(rows.ran().await, (5_000, false), "{ran:?}");
    }
    let rows = ready().await;
    rows.store
        .stop(rows.replica, EndReason::StopRequested, Some(after(4_000)), "being ended", NOW)
        .await
        .unwrap();
    assert_eq!(rows.ran().await, (4_000, false));
}

#[tokio::test]
async fn what_was_recorded_before_a_crash_goes_on_after_it() {
    let rows = ready().await;
    rows.beat(after(5_000)).await;
    let rows = rows.reopen().await;
    assert_eq!(rows.ran().await, (5_000, true));
    let row = rows.store.snapshot().await.unwrap()[0].replicas[0].clone();
    assert_eq!((row.ready_at, row.ran_until), (Some(NOW), Some(after(5_000).at)));
    assert_eq!(rows.store.newest_stamp().await.unwrap(), after(5_000).at);
    rows.beat(after(65_000)).await;
    rows.fail(None).await;
    let rows = rows.reopen().await;
    rows.beat(after(100_000)).await;
    assert_eq!(rows.ran().await, (65_000, false));
}

#[tokio::test]
async fn a_clock_that_was_set_adds_and_takes_nothing() {
    const YEARS: i64 = 10 * 365 * 86_400_000;
    let rows = ready().await;
    rows.beat(both(YEARS, 5_000)).await;
    assert_eq!(rows.ran().await, (5_000, true), "ten years on, after five seconds");
    rows.beat(both(YEARS + 5_000, 10_000)).await;
    assert_eq!(rows.ran().await, (10_000, true), "and on from there");
    rows.beat(both(-YEARS, 15_000)).await;
    assert_eq!(rows.ran().await, (10_000, true), "ten years back");
    rows.beat(both(YEARS + 6_000, 3_600_000)).await;
    assert_eq!(rows.ran().await, (11_000, true), "an hour without the clock");
    rows.fail(Some(both(2 * YEARS, 3_601_000))).await;
    assert_eq!(rows.ran().await, (12_000, false));
}

#[tokio::test]
async fn the_database_refuses_to_take_time_back() {
    let rows = ready().await;
    rows.beat(after(5_000)).await;
    let writer = rows.store.writer_for_tests();
    let refused = async |change: &'static str| {
        let done = sqlx::query(sqlx::AssertSqlSafe(format!("UPDATE usage SET {change}"))).execute(&writer);
        assert!(done.await.is_err(), "{change}");
    };
    refused("until = until - 1").await;
    refused("ready_at = ready_at - 1").await;
    refused("until = ready_at - 1").await;
    rows.fail(None).await;
    refused("until = until + 1").await;
    refused("closed = 0").await;
    assert_eq!(rows.ran().await, (5_000, false));
}

#[tokio::test]
async fn a_beat_is_of_all_replicas_or_of_none() {
    let rows = ready().await;
    let writer = rows.store.writer_for_tests();
    let ids = (ReplicaId::from_uuid(Uuid::new_v4()), Nonce::from_uuid(Uuid::new_v4()));
    rows.store.reserve(rows.endpoint.id, 1, ids, &[DeviceId::local("cpu-1")], 0, NOW).await.unwrap();
    let ready = Ready { at: after(0), isolation: None, cents_per_minute: 6.0 };
    rows.store.mark_ready(ids.0, &ready).await.unwrap();
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

#[tokio::test]
async fn only_what_has_ended_is_forgotten() {
    let rows = ready().await;
    rows.beat(after(5_000)).await;
    assert_eq!(rows.store.forget_usage(after(9_000).at).await.unwrap(), 0, "it runs");
    rows.fail(None).await;
    assert_eq!(rows.store.forget_usage(after(5_000).at).await.unwrap(), 0, "not old enough");
    assert_eq!(rows.store.forget_usage(after(5_001).at).await.unwrap(), 1);
    assert!(rows.store.usage(&rows.endpoint.owner, ALWAYS, None, &|_| 1.0).await.unwrap().is_empty());
}

//! Databases of every released schema are opened, brought up to date and read back; and what is released stays as it
//! was, since sqlx refuses a database whose steps have another text than this program's.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dedi_domain::idle::{IdleRule, IdleStop, TimeoutBy};
use dedi_domain::keys::KeyId;
use dedi_domain::model_rights::Holders;
use dedi_domain::time::Span;
use dedi_domain::{EndReason, EndpointId, EndpointState, Intent, ModelName, Owner, Timestamp};
use sha2::{Digest, Sha256};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{AssertSqlSafe, SqlSafeStr};
use uuid::Uuid;

use super::super::SqliteStore;
use super::super::open::{MIGRATIONS, connect, migrate};
use crate::reconciler::tests::desired;
use crate::store::*;

/// A step that is in databases out there.
struct Released {
    step: i64,
    /// Of its file in migrations/sqlite. A new step gets a new line; a line is never changed.
    sha256: &'static str,
    /// A database of this step with rows in it.
    dump: &'static str,
}

const RELEASED: [Released; 6] = [
    Released {
        step: 1,
        sha256: "596a1fc205539b37c555584fa322c3dd9cae24055667843ae988401eafd0ead3",
        dump: include_str!("released/0001.sql"),
    },
    Released {
        step: 2,
        sha256: "7d2fa59a41b2a1bc7633d8f53062dc5bc110a1c5e2cd765f6e42ff99a0ae09c9",
        dump: include_str!("released/0002.sql"),
    },
    Released {
        step: 3,
        sha256: "90a2b1ab69e262aa7331c492b24fba7251ef70d4a1efbfe438ce390574b0032c",
        dump: include_str!("released/0003.sql"),
    },
    Released {
        step: 4,
        sha256: "3a686042637db20ff2a7b3df28721213b5c51e1485f366e82a31b0b904966c34",
        dump: include_str!("released/0004.sql"),
    },
    Released {
        step: 5,
        sha256: "47075ce42cc9a21b8748a0b9e8deac22bac090c701d26a1f5d2b31074dd52043",
        dump: include_str!("released/0005.sql"),
    },
    Released {
        step: 6,
        sha256: "782d374556f5ce7b6877d18af73f827b81d05a5a9b006146c07ba88ae690d28f",
        dump: include_str!("released/0006.sql"),
    },
];

const NOW: Timestamp = Timestamp(1_800_000_000_000);
/// The endpoint of the dumps that runs.
const RUNNING: &str = "endpoint-4bddd2dd-81dc-4fc9-886c-d3e9336045c6";

async fn make(path: &Path, dump: &'static str) {
    let pool = raw(path).await;
    sqlx::raw_sql(dump).execute(&pool).await.unwrap();
    pool.close().await;
}

async fn raw(path: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(false);
    SqlitePool::connect_with(options).await.unwrap()
}

async fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, Uuid::new_v4(), NOW).await
}

/// Every table, index and trigger as its text, but for layout.
async fn schema(store: &SqliteStore) -> Vec<String> {
    let texts: Vec<String> =
        sqlx::query_scalar("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name")
            .fetch_all(&store.reader)
            .await
            .unwrap();
    texts.iter().map(|it| it.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_released_step_keeps_its_text() {
    for it in &RELEASED {
        let step = MIGRATIONS.iter().find(|known| known.version == it.step);
        let text = step.unwrap_or_else(|| panic!("step {} is gone", it.step)).sql.as_str();
        let found: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, it.sha256, "step {} was changed; write another step instead", it.step);
    }
    let last = RELEASED.last().unwrap().step;
    let later = MIGRATIONS.iter().filter(|it| RELEASED.iter().all(|released| released.step != it.version));
    for it in later {
        assert!(it.version > last, "step {} was put before the released step {last}", it.version);
    }
}

#[tokio::test]
async fn a_database_of_each_released_schema_is_brought_up_to_date_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let fresh = open(&dir.path().join("fresh.db")).await.unwrap();
    for released in &RELEASED {
        let path = dir.path().join(format!("{}.db", released.step));
        make(&path, released.dump).await;
        let store = open(&path).await.unwrap();
        assert_eq!(schema(&store).await, schema(&fresh).await, "from step {}", released.step);
        assert_eq!(store.installation().to_string(), "aecfe173-993c-4960-b7c6-5a779a2d75e3");

        let rows = store.snapshot().await.unwrap();
        let seen: Vec<_> = rows
            .iter()
            .map(|it| {
                let intents: Vec<Intent> = it.replicas.iter().map(|it| it.intent).collect();
                (it.desired.name.to_string(), it.desired.published, it.desired.deleted, intents)
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("local/dedi/demo-e1084359".to_owned(), EndpointState::Stopped, false, vec![]),
                ("local/dedi/demo-facd8bb7".to_owned(), EndpointState::Started, false, vec![Intent::Run]),
                (
                    "local/dedi/demo-30e7999a".to_owned(),
                    EndpointState::Stopping,
                    true,
                    vec![Intent::Stop { since: Timestamp(1_795_257_520_661), reason: EndReason::Unknown }]
                ),
            ]
        );
        let running = rows.iter().find(|it| it.desired.id.to_string() == RUNNING).unwrap();
        assert_eq!(running.replicas[0].devices[0].to_string(), "cpu-0");
        assert_eq!(running.failures.len(), 1, "{:?}", running.failures);
        assert_eq!(store.attempts(running.desired.id).await.unwrap().len(), 2);
        // The one that was ready has run since, and how far is for the first look to say.
        let begun: Vec<(String, i64, i64, Option<f64>, i64)> =
            sqlx::query_as("SELECT endpoint, ready_at, until, cents_per_minute, closed FROM usage")
                .fetch_all(&store.reader)
                .await
                .unwrap();
        assert_eq!(begun, [(RUNNING.to_owned(), 1_795_257_519_874, 1_795_257_519_874, None, 0)]);
        assert_eq!(running.replicas[0].ran_until, running.replicas[0].ready_at);
        let keys = store.keys(None).await.unwrap();
        assert!(keys.len() == 1 && keys[0].id == KeyId("lOTz5STAZR".to_owned()), "{keys:?}");
        let n_events: i64 =
            sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&store.reader).await.unwrap();
        assert_eq!(n_events, 20);
        if released.step >= 5 {
            check_tenants(&store, running.desired.id, &keys[0]).await;
        }
        if released.step >= 6 {
            check_idle_rule(&rows);
        }
        assert_eq!(store.lead().await.unwrap(), Epoch(1));

        let mut new = desired(1, 1);
        new.owner = running.desired.owner.clone();
        let new = NewEndpoint { desired: new, idempotency: None, quota: 10, pin: None, by: Actor::SERVER };
        assert_eq!(store.insert_endpoint(&new, NOW).await.unwrap(), Inserted::New);
        let mut erased = new;
        erased.desired.id = "endpoint-30b1ca9f-0d64-4f3d-9a37-7c1d6f5f5c11".parse().unwrap();
        assert!(store.insert_endpoint(&erased, NOW).await.is_err(), "an erased id came back");
        store.close().await;
        open(&path).await.unwrap().close().await;
    }
}

/// What the dumps since step 5 have of models, keys, clocks and the audit log.
async fn check_tenants(store: &SqliteStore, running: EndpointId, key: &StoredKey) {
    let tenants = Holders::Tenants([Owner::parse("local").unwrap()].into());
    let model = |it| ModelName::parse(it).unwrap();
    let holders = store.holders().await.unwrap();
    assert_eq!(holders, [(model("acme/private"), tenants), (model("dedi/demo"), Holders::Everyone)].into());
    let pin = "0123456789abcdef0123456789abcdef01234567";
    assert_eq!(store.model_pins().await.unwrap(), [(running, pin.to_owned())].into());
    let span = Span { begins_at: Timestamp(1_795_257_519_400), offset_ms: 3_600_000 };
    assert_eq!(store.clock_spans().await.unwrap(), [span]);
    let audit = store.audit(None, Page::After(0), 10).await.unwrap();
    let said: Vec<&str> = audit.iter().map(|it| it.action.as_str()).collect();
    assert_eq!(said, ["key.create", "key.revoke"]);
    assert_eq!(audit[1].key.as_deref(), Some("lOTz5STAZR"));
    assert_eq!(key.scope.entries(), Some(vec!["acme/private".to_owned()]));
    assert_eq!(key.last_used_at, Some(Timestamp(1_795_257_519_500)));
}

/// What the dump of step 6 has of the idle rule.
fn check_idle_rule(rows: &[EndpointRows]) {
    let rules: Vec<IdleRule> = rows.iter().map(|it| it.desired.idle).collect();
    let stopped = IdleStop { minutes: 30, by: TimeoutBy::Default };
    assert_eq!(rules[0].stopped, Some(stopped));
    assert_eq!((rules[1].set_by, rules[1].counts_from), (TimeoutBy::Update, Timestamp(1_795_257_519_600)));
    assert_eq!((rules[2].set_by, rules[2].stopped), (TimeoutBy::Create, None));
}

/// The program's steps and one more.
fn with_step(sql: String) -> Migrator {
    let more =
        Migration::new(9_000, "more".into(), MigrationType::Simple, AssertSqlSafe(sql).into_sql_str(), false);
    Migrator::with_migrations(MIGRATIONS.iter().cloned().chain([more]).collect())
}

async fn tables_named_half(path: &Path) -> i64 {
    let pool = raw(path).await;
    let n = sqlx::query_scalar("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetch_one(&pool);
    let n = n.await.unwrap();
    pool.close().await;
    n
}

#[tokio::test]
async fn a_step_that_fails_half_way_leaves_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    make(&path, RELEASED[0].dump).await;
    let pool = connect(&path, 1).await.unwrap();
    let half = "CREATE TABLE half (x INTEGER) STRICT; DELETE FROM events;";
    let broken = with_step(format!("{half} INSERT INTO nowhere VALUES (1);"));
    let err = migrate(&path, &pool, &broken).await.unwrap_err();
    assert!(matches!(err, StoreError::Unreadable { .. }) && err.to_string().contains("nowhere"), "{err}");
    pool.close().await;
    assert_eq!(tables_named_half(&path).await, 0);
    assert_eq!(open(&path).await.unwrap().snapshot().await.unwrap().len(), 3);

    let pool = connect(&path, 1).await.unwrap();
    migrate(&path, &pool, &with_step(half.to_owned())).await.unwrap();
    pool.close().await;
    assert_eq!(tables_named_half(&path).await, 1);
    let err = open(&path).await.unwrap_err();
    assert!(matches!(err, StoreError::Newer { step: 9_000, .. }), "{err}");
}

/// Where the other process finds the database.
const DATABASE: &str = "DEDI_TEST_DATABASE";

#[tokio::test]
async fn a_step_that_is_killed_half_way_leaves_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    make(&path, RELEASED[0].dump).await;
    let mut migrating = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::sqlite::tests::schemas::a_step_for_the_test_above_to_kill", "--ignored"])
        .env(DATABASE, &path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // SQLite keeps 2 MB of changes in memory: beyond that, what is not committed lies in the log.
    let log = dir.path().join("state.db-wal");
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::fs::metadata(&log).map_or(0, |it| it.len()) < 4 << 20 {
        assert!(migrating.try_wait().unwrap().is_none(), "the other process ended");
        assert!(Instant::now() < deadline, "the step was never under way");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    migrating.kill().unwrap();
    migrating.wait().unwrap();

    let store = open(&path).await.unwrap();
    let n_events: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&store.reader).await.unwrap();
    assert_eq!((store.snapshot().await.unwrap().len(), n_events), (3, 20));
    store.close().await;
    assert_eq!(tables_named_half(&path).await, 0);
}

/// Runs in a process of its own, until it is killed.
#[tokio::test]
#[ignore = "the test above runs it"]
async fn a_step_for_the_test_above_to_kill() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    let path = Path::new(&path);
    let pool = connect(path, 1).await.unwrap();
    let step = "CREATE TABLE half (x BLOB) STRICT; DELETE FROM events; INSERT INTO half \
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) \
        SELECT randomblob(4000) FROM n;";
    migrate(path, &pool, &with_step(step.to_owned())).await.unwrap();
}

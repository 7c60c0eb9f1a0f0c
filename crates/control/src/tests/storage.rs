//! The store on a real file: what it refuses, and what survives.

use std::path::Path;

use dedi_domain::{DeviceId, EndReason, EndpointState, Nonce, ReplicaId, Timestamp};
use serde_json::json;
use uuid::Uuid;

use crate::reconciler::tests::desired;
use crate::store::*;
use crate::testing::{FakeRuntime, Plane, open};
use crate::{ControlConfig, ControlError};

/// Bits flipped, one at a time. Each costs some 6 ms.
const FLIPS: usize = 1_000;
const NOW: Timestamp = Timestamp(1_000);

pub(super) async fn store(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, Uuid::new_v4(), NOW).await
}

pub(crate) async fn with_owner(path: &Path) -> SqliteStore {
    let store = store(path).await.unwrap();
    store.lead().await.unwrap();
    let text = dedi_domain::keys::KeyText::from_random(&[1; 53]);
    let key = StoredKey {
        id: text.id(),
        name: String::new(),
        owner: dedi_domain::Owner::parse("team").unwrap(),
        role: dedi_domain::Role::Admin,
        created_at: NOW,
        expires_at: None,
        scope: dedi_domain::Scope::default(),
        last_used_at: None,
    };
    store.insert_key(&key, text.hash(), &crate::testing::entry(&key)).await.unwrap();
    store
}

pub(super) fn new(desired: dedi_domain::Desired) -> NewEndpoint {
    NewEndpoint { desired, idempotency: None, quota: 1_000, pin: None, by: crate::store::Actor::SERVER }
}

#[tokio::test]
async fn what_was_stored_is_read_back_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let it = desired(0, 3);
    let first = with_owner(&path).await;
    assert_eq!(first.insert_endpoint(&new(it.clone()), NOW).await.unwrap(), Inserted::New);
    let installation = first.installation();
    first.close().await;
    assert!(matches!(first.snapshot().await, Err(StoreError::Closed)));
    let again = store(&path).await.unwrap();
    assert_eq!(again.snapshot().await.unwrap()[0].desired, it);
    assert_eq!(again.installation(), installation);
    assert_eq!(again.key_table(&dedi_domain::time::Timeline::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_device_is_held_by_one_replica_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_owner(&dir.path().join("state.db")).await;
    let it = desired(2, 2);
    store.insert_endpoint(&new(it.clone()), NOW).await.unwrap();
    let reserve = async |devices: &[&str]| {
        let devices: Vec<DeviceId> = devices.iter().map(|it| DeviceId::from((*it).to_owned())).collect();
        let (replica, nonce) = (ReplicaId::from_uuid(Uuid::new_v4()), Nonce::from_uuid(Uuid::new_v4()));
        store.reserve(it.id, it.generation, (replica, nonce), &devices, 0, NOW).await
    };
    assert_eq!(reserve(&["a", "b"]).await.unwrap(), 1);
    assert!(matches!(reserve(&["c", "b"]).await, Err(StoreError::Conflict)));
    let rows = store.snapshot().await.unwrap();
    assert_eq!(rows[0].replicas.len(), 1, "the refused reservation left nothing behind");
    assert_eq!(reserve(&["c"]).await.unwrap(), 2);
    let replica = rows[0].replicas[0].id;
    assert!(matches!(store.release(replica, None, NOW).await, Err(StoreError::Conflict)), "it still runs");
    store.stop(replica, EndReason::StopRequested, None, "being ended", NOW).await.unwrap();
    store.release(replica, None, NOW).await.unwrap();
    assert_eq!(reserve(&["a"]).await.unwrap(), 3);
    // Another node's device of that name is another device.
    assert_eq!(reserve(&["node-1/a"]).await.unwrap(), 4);
    assert!(matches!(reserve(&["node-1/a"]).await, Err(StoreError::Conflict)));
    let rows = store.snapshot().await.unwrap();
    let mut held: Vec<String> =
        rows[0].replicas.iter().flat_map(|it| &it.devices).map(ToString::to_string).collect();
    held.sort();
    assert_eq!(held, ["a", "c", "node-1/a"]);
}

#[tokio::test]
async fn the_database_refuses_the_steps_that_the_domain_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_owner(&dir.path().join("state.db")).await;
    for from in EndpointState::ALL {
        for to in EndpointState::ALL {
            if from == to {
                continue;
            }
            let it = desired(1, 1);
            let it = dedi_domain::Desired {
                name: dedi_domain::EndpointName::parse(&format!(
                    "team/m-{:08x}",
                    Uuid::new_v4().as_fields().0
                ))
                .unwrap(),
                ..it
            };
            store.insert_endpoint(&new(it.clone()), NOW).await.unwrap();
            let mut at = EndpointState::Pending;
            while at != from {
                let next = at.step_towards(from);
                store.publish(it.id, at, next, 1, "", NOW).await.unwrap();
                at = next;
            }
            let done = store.publish(it.id, from, to, 1, "", NOW).await;
            assert_eq!(done.is_ok(), from.may_become(to), "{from} -> {to}: {done:?}");
        }
    }
}

#[tokio::test]
async fn a_damaged_file_is_never_started_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let first = with_owner(&path).await;
    for _ in 0..50 {
        let mut it = desired(1, 1);
        it.name = dedi_domain::EndpointName::parse(&format!("team/m-{:08x}", Uuid::new_v4().as_fields().0))
            .unwrap();
        first.insert_endpoint(&new(it), NOW).await.unwrap();
    }
    first.close().await;
    let good = std::fs::read(&path).unwrap();

    let n_pages = good.len() / 4_096;
    for page in 0..n_pages.min(12) {
        let mut bad = good.clone();
        bad[page * 4_096..page * 4_096 + 64].fill(0xa5);
        std::fs::write(&path, &bad).unwrap();
        let said = store(&path).await.unwrap_err().to_string();
        assert!(
            said.contains("state.db") && (said.contains("damaged") || said.contains("can't be opened")),
            "{said}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), bad, "a refused file is left as it is");
        for extra in ["state.db-wal", "state.db-shm"] {
            let _ = std::fs::remove_file(dir.path().join(extra));
        }
    }
    for cut in [0, 100, 5_000, good.len() - 4_096] {
        std::fs::write(&path, &good[..cut]).unwrap();
        assert!(store(&path).await.is_err(), "cut to {cut}");
    }
    std::fs::write(&path, b"this is not a database, but quite long enough to be looked at".repeat(200))
        .unwrap();
    assert!(matches!(store(&path).await, Err(StoreError::Corrupt { .. })));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(dir.path().join("state.db-wal"), b"x").unwrap();
    assert!(matches!(store(&path).await, Err(StoreError::Corrupt { .. })), "a log without its file");
    std::fs::remove_file(dir.path().join("state.db-wal")).unwrap();
    std::fs::write(&path, &good).unwrap();
    assert_eq!(store(&path).await.unwrap().snapshot().await.unwrap().len(), 50, "restored from a copy");
}

/// What decides whose a process is, and what it may have: of a row that differs here, a replica would be ended, lost
/// or started on a device that is taken. The rest of a row, such as its display name, is not seen to be damaged.
fn identity(row: &EndpointRows) -> String {
    let it = &row.desired;
    let replicas: Vec<_> = row.replicas.iter().map(|it| (it.id, it.nonce, &it.devices)).collect();
    format!("{} {} {} {replicas:?}", it.id, it.name, it.owner)
}

/// Without checksums in the pages not every flipped bit can be seen. None may make endpoints disappear, which would
/// end their replicas.
#[tokio::test]
async fn no_flipped_bit_makes_an_endpoint_disappear() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let first = with_owner(&path).await;
    for n in 0..20 {
        let mut it = desired(1, 1);
        it.name = dedi_domain::EndpointName::parse(&format!("team/m-{n:08x}")).unwrap();
        let id = it.id;
        first.insert_endpoint(&new(it), NOW).await.unwrap();
        let ids = (ReplicaId::from_uuid(Uuid::new_v4()), Nonce::from_uuid(Uuid::new_v4()));
        first.reserve(id, 1, ids, &[DeviceId::local(format!("cpu-{n}"))], 0, NOW).await.unwrap();
    }
    let whole: Vec<String> = first.snapshot().await.unwrap().iter().map(identity).collect();
    assert_eq!(whole.len(), 20);
    first.close().await;
    let good = std::fs::read(&path).unwrap();
    // Numbers from a seed: splitmix64.
    let mut state = 7_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        usize::try_from((mixed ^ (mixed >> 27)) % u64::try_from(below).unwrap()).unwrap()
    };
    let mut n_refused = 0;
    for _ in 0..FLIPS {
        let mut bad = good.clone();
        let (at, bit) = (draw(bad.len()), draw(8));
        bad[at] ^= 1 << bit;
        for extra in ["state.db-wal", "state.db-shm"] {
            let _ = std::fs::remove_file(dir.path().join(extra));
        }
        std::fs::write(&path, &bad).unwrap();
        let read = match store(&path).await {
            Ok(store) => {
                let read = store.snapshot().await;
                store.close().await;
                read
            }
            Err(err) => Err(err),
        };
        match read {
            Ok(rows) => {
                assert_eq!(rows.iter().map(identity).collect::<Vec<_>>(), whole, "bit {bit} of byte {at}");
            }
            Err(_) => n_refused += 1,
        }
    }
    assert!(n_refused > FLIPS / 50, "only {n_refused} of {FLIPS} were seen");
}

#[tokio::test]
async fn a_file_of_a_later_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let first = store(&path).await.unwrap();
    sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 0)")
        .execute(&first.writer_for_tests())
        .await
        .unwrap();
    let err = SqliteStore::check_schema(&path).await.unwrap_err();
    assert!(matches!(err, StoreError::Newer { step: 9999, .. }), "{err}");
    first.close().await;
    let err = store(&path).await.unwrap_err();
    assert!(matches!(err, StoreError::Newer { step: 9999, .. }), "{err}");
    assert!(err.to_string().contains("newer dedi"));
}

#[tokio::test]
async fn a_paused_store_writes_nothing_until_it_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let store = with_owner(&path).await;
    SqliteStore::check_schema(&path).await.unwrap();
    store.pause().await.unwrap();
    let it = new(desired(0, 3));
    let refused = store.insert_endpoint(&it, NOW).await.unwrap_err();
    assert!(matches!(refused, StoreError::Paused), "{refused}");
    assert!(store.key_table(&dedi_domain::time::Timeline::default()).await.is_ok(), "reading goes on");
    let successor = crate::tests::storage::store(&path).await.unwrap();
    sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 0)")
        .execute(&successor.writer_for_tests())
        .await
        .unwrap();
    let err = store.resume().await.unwrap_err();
    assert!(matches!(err, StoreError::Newer { step: 9999, .. }), "{err}");
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 9999")
        .execute(&successor.writer_for_tests())
        .await
        .unwrap();
    store.resume().await.unwrap();
    store.insert_endpoint(&it, NOW).await.unwrap();
}

#[tokio::test]
async fn a_half_made_first_file_does_not_wedge_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    std::fs::write(dir.path().join("state.db.new"), b"half").unwrap();
    std::fs::write(dir.path().join("state.db.new-wal"), b"half").unwrap();
    assert!(store(&path).await.is_ok());
    assert!(!dir.path().join("state.db.new").exists());
}

#[tokio::test]
async fn two_servers_on_one_folder_are_refused() {
    let plane = Plane::start().await;
    let err = open(&plane.dir, &ControlConfig::default(), &plane.runtime, &plane.clock).await.unwrap_err();
    assert!(matches!(err, ControlError::Lock(LockError::Held { .. })), "{err}");
    assert!(err.to_string().contains("has a server: process "), "{err}");
    plane.control.close().await;
    let next = open(&plane.dir, &ControlConfig::default(), &plane.runtime, &plane.clock).await.unwrap();
    let owner = dedi_domain::Owner::parse("team").unwrap();
    assert!(!next.first_key(&owner, None, |_| panic!("there is a key")).await.unwrap());
}

#[tokio::test]
async fn a_key_that_could_not_be_written_down_does_not_exist() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = std::sync::Arc::new(FakeRuntime::with_cores(1));
    let clock = std::sync::Arc::default();
    let control = open(&dir, &ControlConfig::default(), &runtime, &clock).await.unwrap();
    let owner = dedi_domain::Owner::parse("team").unwrap();
    assert!(control.first_key(&owner, None, |_| Err(std::io::Error::other("no room"))).await.is_err());
    let mut kept = String::new();
    let made = control.first_key(&owner, None, |text| {
        kept = text.to_owned();
        Ok(())
    });
    assert!(made.await.unwrap());
    assert!(kept.starts_with("dedi_"));
    let bytes = std::fs::read(dir.path().join("state.db-wal")).unwrap_or_default();
    let secret = kept.split('_').nth(2).unwrap().as_bytes();
    assert!(!bytes.windows(secret.len()).any(|it| it == secret), "no secret is stored");
}

#[tokio::test]
async fn a_database_that_is_locked_or_full_is_503_and_changes_nothing() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    let path = plane.dir.path().join("state.db");
    let other = sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(&path))
        .await
        .unwrap();
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let answer = plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"display_name":"x"}"#).await;
    assert_eq!(answer.status, http::StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert_eq!(answer.json()["error"]["type"], "server_error");
    assert!(answer.headers.contains_key("retry-after-ms"));
    assert_eq!(plane.state(&id).await, "PENDING", "reads go on");
    held.rollback().await.unwrap();
    assert_eq!(
        plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"display_name":"x"}"#).await.status,
        http::StatusCode::OK
    );

    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&other).await.unwrap();
    let writer = plane.writer();
    sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}")))
        .execute(&writer)
        .await
        .unwrap();
    let body =
        r#"{"model":"dedi/demo","hardware":"1x_cpu_8gb","autoscaling":{"min_replicas":1,"max_replicas":1}}"#;
    let mut last = None;
    let mut n_acknowledged = 1;
    for _ in 0..200 {
        let answer = plane.call("POST", "/v1/endpoints", body).await;
        if answer.status != http::StatusCode::OK {
            last = Some(answer);
            break;
        }
        n_acknowledged += 1;
    }
    let full = last.expect("the file never got full");
    assert_eq!(full.status, http::StatusCode::SERVICE_UNAVAILABLE, "{full:?}");
    assert!(full.message().contains("full"), "{full:?}");
    let listed = plane.call("GET", "/v1/endpoints", "").await.json();
    assert_eq!(
        listed["data"].as_array().unwrap().len(),
        n_acknowledged,
        "reads go on; nothing else was kept"
    );
    sqlx::query("PRAGMA max_page_count = 100000").execute(&writer).await.unwrap();
    assert_eq!(
        plane.call("DELETE", &format!("/v1/endpoints/{id}"), "").await.status,
        http::StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn an_endpoint_whose_next_step_cannot_be_recorded_says_so() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    let calm = plane.create(r#","state":"STOPPED""#).await;
    plane.settle_idle().await;
    let path = plane.dir.path().join("state.db");
    let other = sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(&path))
        .await
        .unwrap();
    plane.runtime.kill_all(plane.now());
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    plane.settle_idle().await;
    let it = plane.get(&id).await;
    assert_eq!((&it["state"], &it["status"]["reason"]), (&json!("STARTED"), &json!("unrecorded")));
    let message = it["status"]["message"].as_str().unwrap();
    let why =
        "dedi can't record its next step: the database is locked by another program; what runs goes on.";
    assert!(message.starts_with(why) && message.contains("1 replica ended because"), "{message}");
    assert!(it["status"]["next_step"].as_str().unwrap().contains("make room"), "{it:#}");
    assert_eq!(plane.get(&calm).await["status"]["reason"], "stopped_by_user", "it has no next step");
    held.rollback().await.unwrap();
    plane.settle_idle().await;
    assert_ne!(plane.get(&id).await["status"]["reason"], "unrecorded");
}

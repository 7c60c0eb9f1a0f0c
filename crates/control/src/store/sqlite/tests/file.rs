//! The file: what is refused, and what survives.

use std::path::Path;

use dedi_domain::{DeviceId, Role, Timestamp};
use uuid::Uuid;

use super::super::SqliteStore;
use crate::reconciler::tests::desired;
use crate::store::conformance::{entry, ids, key, new};
use crate::store::*;

/// Bits flipped, one at a time. Each costs some 6 ms.
const FLIPS: usize = 1_000;
const NOW: Timestamp = Timestamp(1_000);

pub(super) async fn store(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, Uuid::new_v4(), NOW).await
}

pub(crate) async fn with_owner(path: &Path) -> SqliteStore {
    let store = store(path).await.unwrap();
    store.lead().await.unwrap();
    let (key, hash) = key("team", Role::Admin, 1);
    store.insert_key(&key, hash, &entry(&key)).await.unwrap();
    store
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
        first.reserve(id, 1, ids(), &[DeviceId::local(format!("cpu-{n}"))], 0, NOW).await.unwrap();
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
    let successor = self::store(&path).await.unwrap();
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

//! Copies of the database, and what a start does without it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use uuid::Uuid;

use crate::ControlError;
use crate::store::{BackupError, SnapshotStore as _, SqliteStore, StoreError, Upkeep as _, backup};
use crate::testing::{FakeRuntime, Plane, open};

async fn names(path: &Path) -> Vec<String> {
    let store = SqliteStore::open(path, Uuid::new_v4(), dedi_domain::Timestamp(0)).await.unwrap();
    let rows = store.snapshot().await.unwrap();
    store.close().await;
    rows.iter().map(|it| it.desired.name.to_string()).collect()
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn remove_database(folder: &Path) {
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = std::fs::remove_file(folder.join(name));
    }
}

#[tokio::test]
async fn a_backup_is_of_one_moment_and_writers_go_on() {
    let plane = Plane::start().await;
    let out = tempfile::tempdir().unwrap();
    plane.create("").await;
    let first = out.path().join("first.db");
    let writing = async {
        for _ in 0..10 {
            plane.create("").await;
        }
    };
    let (n_bytes, ()) = tokio::join!(plane.control.backup(&first), writing);
    let meta = std::fs::metadata(&first).unwrap();
    assert_eq!((n_bytes.unwrap(), meta.permissions().mode() & 0o777), (meta.len(), 0o600));
    let second = out.path().join("second.db");
    plane.control.backup(&second).await.unwrap();
    assert_eq!(files(out.path()), ["first.db", "second.db"], "nothing else is left");
    assert!((1..=11).contains(&names(&first).await.len()));
    assert_eq!(names(&second).await.len(), 11);
}

#[tokio::test]
async fn a_backup_never_writes_over_anything_and_a_failed_one_leaves_nothing() {
    let plane = Plane::start().await;
    let folder = plane.dir.path();
    let out = tempfile::tempdir().unwrap();
    let taken = out.path().join("taken");
    std::fs::write(&taken, b"mine").unwrap();
    let link = out.path().join("link");
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    for path in [&taken, &link] {
        assert!(matches!(plane.control.backup(path).await, Err(BackupError::Exists(_))));
    }
    assert_eq!(std::fs::read(&taken).unwrap(), b"mine");
    for name in ["state.db-journal", "state.db.new", "none/x"] {
        let refused = plane.control.backup(&folder.join(name)).await;
        assert!(matches!(refused, Err(BackupError::Name { .. })), "{name}: {refused:?}");
    }
    let missing = backup(&out.path().join("state.db"), &out.path().join("copy")).await;
    assert!(matches!(missing, Err(BackupError::NoDatabase(_))), "{missing:?}");

    plane.control.close().await;
    let damaged = out.path().join("state.db");
    let mut bytes = std::fs::read(folder.join("state.db")).unwrap();
    for page in 1..bytes.len() / 4_096 {
        bytes[page * 4_096..page * 4_096 + 16].fill(0xa5);
    }
    std::fs::write(&damaged, bytes).unwrap();
    let refused = backup(&damaged, &out.path().join("copy")).await;
    assert!(matches!(refused, Err(BackupError::Store(StoreError::Corrupt { .. }))), "{refused:?}");
    let left = files(out.path());
    assert!(left.iter().all(|it| !it.starts_with("copy")), "{left:?}");
}

#[tokio::test]
async fn without_its_database_nothing_starts_and_no_replica_ends_until_a_backup_is_put_back() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STARTED");
    let copy = plane.dir.path().join("copy.db");
    plane.control.backup(&copy).await.unwrap();
    plane.control.close().await;
    remove_database(plane.dir.path());

    let again = async || open(&plane.dir, &plane.config, &plane.runtime, &plane.clock).await;
    let err = again().await.unwrap_err();
    assert!(matches!(err, ControlError::Missing { n_replicas: 1, .. }), "{err}");
    assert!(err.to_string().contains("`dedi backup`"), "{err}");
    plane.runtime.set_down(true);
    let err = again().await.unwrap_err();
    assert!(matches!(err, ControlError::MissingUnseen { .. }), "{err}");
    plane.runtime.set_down(false);
    assert!(!plane.dir.path().join("state.db").exists(), "an empty one was made");
    assert_eq!((plane.runtime.live().len(), plane.runtime.n_removed()), (1, 0));

    std::fs::copy(&copy, plane.dir.path().join("state.db")).unwrap();
    let plane = plane.restart().await;
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STARTED");
    assert_eq!((plane.runtime.launched().len(), plane.runtime.n_removed()), (1, 0), "the replica went on");
}

#[tokio::test]
async fn a_folder_without_database_and_replicas_is_a_new_one() {
    let plane = Plane::with(crate::ControlConfig::default(), FakeRuntime::with_cores(1)).await;
    plane.control.close().await;
    remove_database(plane.dir.path());
    assert!(open(&plane.dir, &plane.config, &plane.runtime, &plane.clock).await.is_ok());
}

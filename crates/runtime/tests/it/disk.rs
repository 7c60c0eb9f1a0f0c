//! Replicas whose folders lie on a disk that is full.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use dedi_domain::FailureCause;
use dedi_runtime_api::Runtime;
use dedi_testing::host::has;

use crate::host::{Host, kill, launch, until_exited, until_gone, until_ready};

/// A small disk of its own on a folder; gone with this value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&folder).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs"])
            .arg(&folder)
            .output()
            .is_ok_and(|it| it.status.success());
        mounted.then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
        // The host's folder, which could not be removed with a disk in it.
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

/// A host whose run folder is a small disk, which must outlive it: a host finds what a test leaves running by the
/// folder it works in, and that has no such path once the disk is unmounted. `None` where none can be mounted.
fn on_small_disk(disk: &mut Option<SmallDisk>) -> Option<Host> {
    let host = Host::new();
    *disk = SmallDisk::mount(host.root.path().join("run"));
    has(disk.is_some(), "disks that it may mount").then_some(host)
}

/// Takes all the room there is.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    loop {
        match file.write(&[b'x'; 4096]) {
            Ok(_) => {}
            Err(err) if err.kind() == ErrorKind::StorageFull => return,
            Err(err) => panic!("{err}"),
        }
    }
}

#[tokio::test]
async fn how_an_engine_ended_is_known_though_the_disk_was_full() {
    let mut disk = None;
    let Some(host) = on_small_disk(&mut disk) else { return };
    let runtime = host.open().await;
    let launch = launch("ok");
    runtime.ensure(&launch).await.unwrap();
    until_ready(&runtime, &launch).await;
    fill(&host.root.path().join("run/full"));
    kill(host.engine_pid(&launch));
    let exit = until_exited(&runtime, &launch).await;
    assert_eq!((exit.signal, exit.cause), (Some(9), FailureCause::EngineKilled));
    assert!(exit.log_tail.iter().any(|it| it.contains("fake engine")), "{exit:?}");
    assert!(!host.dir(&launch).join("reserve").exists());
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&runtime, &launch).await;
}

#[tokio::test]
async fn a_replica_starts_where_there_is_no_room_to_reserve() {
    let mut disk = None;
    let Some(host) = on_small_disk(&mut disk) else { return };
    let runtime = host.open().await;
    let full = host.root.path().join("run/full");
    fill(&full);
    // Enough for the other records.
    let n_bytes = std::fs::metadata(&full).unwrap().len();
    File::options().write(true).open(&full).unwrap().set_len(n_bytes - (64 << 10)).unwrap();
    let launch = launch("ok");
    runtime.ensure(&launch).await.unwrap();
    until_ready(&runtime, &launch).await;
    assert!(host.log(&launch).contains("could not be reserved"), "{}", host.log(&launch));
    kill(host.engine_pid(&launch));
    assert_eq!(until_exited(&runtime, &launch).await.cause, FailureCause::EngineKilled);
    runtime.remove(launch.replica, launch.nonce).await.unwrap();
    until_gone(&runtime, &launch).await;
}

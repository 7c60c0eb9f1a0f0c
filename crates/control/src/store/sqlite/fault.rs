//! What is the matter with the disk that holds the database. SQLite says which of its own steps failed, and the system's
//! word for it is lost on the way here; so the disk is asked for it by writing a small file beside the database.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use uuid::Uuid;

/// Longest wait for that: the disk may hang, and the request has waited already.
const PROBE_MAX: Duration = Duration::from_secs(2);
/// Bytes that are written: a block, which a quota or a full disk can't take out of thin air.
const PROBE_BYTES: usize = 4_096;
/// How near to the file-size limit a file of the database is that the limit stopped: several pages are written at once.
const NEAR_BYTES: u64 = 1 << 20;

/// Which step of SQLite failed, by its extended result code; `None` where it was not the disk's fault.
pub(super) fn step(code: i64) -> Option<&'static str> {
    const IOERR: i64 = 10;
    match (code & 0xff, code >> 8) {
        // Memory, and its own locks' trouble, which is not the disk's.
        (IOERR, 12) => None,
        (IOERR, 1 | 2 | 33) => Some("can't be read"),
        (IOERR, 4 | 5) => Some("does not keep what is written"),
        (IOERR, 7) => Some("can't be looked at"),
        (IOERR, 8 | 9 | 14 | 15) => Some("can't be locked"),
        (IOERR, _) => Some("can't be written to"),
        (8, _) => Some("is read-only"),
        (14, _) => Some("can't be opened"),
        _ => None,
    }
}

/// The cause of a failure of the database `file`, as the end of a sentence, if the disk tells one.
pub(super) async fn cause(file: &Path) -> Option<String> {
    let file = file.to_owned();
    in_time(move || look(&file)).await
}

async fn in_time(look: impl FnOnce() -> Option<String> + Send + 'static) -> Option<String> {
    match tokio::time::timeout(PROBE_MAX, tokio::task::spawn_blocking(look)).await {
        Ok(told) => told.ok().flatten(),
        Err(_elapsed) => Some(format!("the disk did not answer within {} s", PROBE_MAX.as_secs())),
    }
}

fn look(file: &Path) -> Option<String> {
    if let Some(limit) = getrlimit(Resource::Fsize).current {
        let n_bytes =
            |ending: &str| fs::metadata(super::open::sibling(file, ending)).map_or(0, |it| it.len());
        if n_bytes("").max(n_bytes("-wal")).saturating_add(NEAR_BYTES) > limit {
            return Some(format!(
                "it may not be longer than {limit} bytes, the file-size limit of this server (RLIMIT_FSIZE): raise LimitFSIZE of its unit, or `ulimit -f`, and restart it"
            ));
        }
    }
    let folder = file.parent()?;
    let probe = Probe(folder.join(format!(".probe-{}", Uuid::new_v4())));
    probe.write().err().map(|err| said(&err))
}

/// A file that is gone with this value.
struct Probe(PathBuf);

impl Probe {
    fn write(&self) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.0)?;
        file.write_all(&[0; PROBE_BYTES])?;
        file.sync_all()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What an error of the disk means and what helps.
pub(super) fn said(err: &io::Error) -> String {
    let known = [
        (Errno::NOSPC, "it is full: free some room there"),
        (Errno::DQUOT, "the disk quota of this server's user is used up: raise it, or free some room there"),
        (
            Errno::ROFS,
            "its file system is read-only, as the kernel makes it after errors: check it and mount it writable",
        ),
        (
            Errno::STALE,
            "the network file system has lost it (stale file handle): mount it again and restart the server",
        ),
        (Errno::FBIG, "a file would be larger than its file system or this server's file-size limit allows"),
        (Errno::IO, "the device reports errors (input/output error): look at the kernel's log (`dmesg`)"),
    ];
    let words = known.iter().find(|(errno, _)| err.raw_os_error() == Some(errno.raw_os_error()));
    words.map_or_else(|| err.to_string(), |(_, words)| (*words).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_is_told_from_the_extended_code() {
        let write = |n: i64| step(10 | n << 8);
        assert_eq!(write(1), Some("can't be read"));
        assert_eq!(write(3), Some("can't be written to"), "EDQUOT, EIO, ESTALE and EFBIG of a write");
        assert_eq!(write(4), Some("does not keep what is written"), "fsync");
        assert_eq!(write(12), None, "memory");
        assert_eq!(
            (step(8), step(14), step(13), step(11)),
            (Some("is read-only"), Some("can't be opened"), None, None)
        );
    }

    #[test]
    fn cause_is_the_systems_word_with_what_helps() {
        for (errno, wanted) in [
            (rustix::io::Errno::DQUOT, "quota"),
            (rustix::io::Errno::IO, "dmesg"),
            (rustix::io::Errno::STALE, "stale"),
            (rustix::io::Errno::FBIG, "file-size limit"),
            (rustix::io::Errno::ROFS, "read-only"),
            (rustix::io::Errno::NOSPC, "full"),
        ] {
            let text = said(&errno.into());
            assert!(text.contains(wanted), "{errno}: {text}");
        }
    }

    #[tokio::test]
    async fn probe_of_a_disk_that_hangs_is_waited_for_no_longer_than_its_limit() {
        let (release, hang) = std::sync::mpsc::channel::<()>();
        let begun = std::time::Instant::now();
        let cause = in_time(move || hang.recv().err().map(|it| it.to_string())).await;
        assert_eq!(cause.as_deref(), Some("the disk did not answer within 2 s"));
        assert!(begun.elapsed() >= PROBE_MAX);
        drop(release);
    }

    #[tokio::test]
    async fn probe_of_a_sound_disk_says_nothing_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(cause(&folder.path().join("state.db")).await, None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let absent = folder.path().join("absent/state.db");
        assert!(cause(&absent).await.unwrap().contains("No such file"));
    }
}

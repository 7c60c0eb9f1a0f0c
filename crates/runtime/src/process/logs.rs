//! Replicas' logs for those who read them: one file per attempt of an endpoint, with older parts beside it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dedi_domain::{EndpointId, Timestamp};

use dedi_shim::logfile::numbered;

/// Most bytes read at once.
const READ_BYTES_MAX: u64 = 256 << 10;

/// The folder of all logs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ReplicaLogs {
    root: PathBuf,
}

/// The log of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptLog {
    /// Counts the endpoint's launches, from 1.
    pub attempt: u32,
    /// Bytes on disk, older parts included.
    pub bytes: u64,
    /// When something was last written.
    pub written_at: Timestamp,
}

/// A place in a log. Stays right when the log is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogCursor {
    file: u64,
    offset: u64,
}

/// A part of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// What was written; may end inside a line.
    pub bytes: Vec<u8>,
    /// Where to go on.
    pub next: LogCursor,
}

impl ReplicaLogs {
    /// Logs below that folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The file that an attempt writes to now.
    pub fn path(&self, endpoint: EndpointId, attempt: u32) -> PathBuf {
        self.dir(endpoint).join(format!("attempt-{attempt}.log"))
    }

    /// The attempts that have a log, oldest first.
    pub fn attempts(&self, endpoint: EndpointId) -> io::Result<Vec<AttemptLog>> {
        let entries = match fs::read_dir(self.dir(endpoint)) {
            Ok(entries) => entries,
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(err) => return Err(err),
        };
        let mut attempts: Vec<AttemptLog> = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Some(attempt) = entry.file_name().to_str().and_then(attempt_of) else { continue };
            let meta = match entry.metadata() {
                Ok(meta) => meta,
                Err(err) if err.kind() == ErrorKind::NotFound => continue,
                Err(err) => return Err(err),
            };
            let written_at = Timestamp(meta.mtime() * 1000 + meta.mtime_nsec() / 1_000_000);
            match attempts.iter_mut().find(|it| it.attempt == attempt) {
                Some(known) => {
                    known.bytes += meta.len();
                    known.written_at = known.written_at.max(written_at);
                }
                None => attempts.push(AttemptLog { attempt, bytes: meta.len(), written_at }),
            }
        }
        attempts.sort_by_key(|it| it.attempt);
        Ok(attempts)
    }

    /// The last lines of an attempt, at most so many and at most 256 KiB, and where to follow from. Empty
    /// if there is no such log.
    pub fn tail(&self, endpoint: EndpointId, attempt: u32, lines_max: usize) -> io::Result<LogChunk> {
        let path = self.path(endpoint, attempt);
        let (mut bytes, next) = match File::open(&path) {
            Ok(file) => {
                let end = file.metadata()?.len();
                let bytes = read_at(&file, end.saturating_sub(READ_BYTES_MAX), READ_BYTES_MAX)?;
                (bytes, LogCursor { file: file.metadata()?.ino(), offset: end })
            }
            Err(err) if err.kind() == ErrorKind::NotFound => (Vec::new(), LogCursor { file: 0, offset: 0 }),
            Err(err) => return Err(err),
        };
        // A log that was rotated a moment ago is short: the part before it belongs to the tail.
        let n_missing = READ_BYTES_MAX.saturating_sub(bytes.len() as u64);
        if n_missing > 0
            && n_lines(&bytes) < lines_max
            && let Ok(file) = File::open(numbered(&path, 1))
        {
            let end = file.metadata()?.len();
            let mut older = read_at(&file, end.saturating_sub(n_missing), n_missing)?;
            older.append(&mut bytes);
            bytes = older;
        }
        Ok(LogChunk { bytes: last_lines(bytes, lines_max), next })
    }

    /// What was written after `from`, at most 256 KiB. Empty if nothing was yet.
    pub fn follow(&self, endpoint: EndpointId, attempt: u32, from: LogCursor) -> io::Result<LogChunk> {
        let path = self.path(endpoint, attempt);
        // Newest first; the place is in one of them, or its file has been rotated out of existence.
        let mut newer: Option<u64> = None;
        for n in 0.. {
            let name = if n == 0 { path.clone() } else { numbered(&path, n) };
            let file = match File::open(&name) {
                Ok(file) => file,
                Err(err) if err.kind() == ErrorKind::NotFound => break,
                Err(err) => return Err(err),
            };
            let meta = file.metadata()?;
            let id = meta.ino();
            // A shorter file is another one that was given the number of the one we knew.
            if id == from.file && from.offset <= meta.len() {
                let bytes = read_at(&file, from.offset, READ_BYTES_MAX)?;
                if let (true, Some(newer)) = (bytes.is_empty(), newer) {
                    return self.follow(endpoint, attempt, LogCursor { file: newer, offset: 0 });
                }
                let next = LogCursor { file: id, offset: from.offset + bytes.len() as u64 };
                return Ok(LogChunk { bytes, next });
            }
            newer = Some(id);
        }
        match newer {
            Some(oldest) if (LogCursor { file: oldest, offset: 0 }) != from => {
                self.follow(endpoint, attempt, LogCursor { file: oldest, offset: 0 })
            }
            Some(_) | None => Ok(LogChunk { bytes: Vec::new(), next: from }),
        }
    }

    /// Removes the oldest attempts' logs until at most so many attempts are left, with at most so many bytes in
    /// all. Those that are still being written count and stay.
    pub fn prune(
        &self,
        endpoint: EndpointId,
        keep: usize,
        bytes_max: u64,
        is_written: impl Fn(u32) -> bool,
    ) -> io::Result<()> {
        let attempts = self.attempts(endpoint)?;
        let mut n_left = attempts.len();
        let mut bytes_left: u64 = attempts.iter().map(|it| it.bytes).sum();
        for old in attempts {
            if n_left <= keep && bytes_left <= bytes_max {
                break;
            }
            if is_written(old.attempt) {
                continue;
            }
            n_left -= 1;
            bytes_left -= old.bytes;
            let path = self.path(endpoint, old.attempt);
            for n in 0.. {
                let name = if n == 0 { path.clone() } else { numbered(&path, n) };
                match fs::remove_file(name) {
                    Ok(()) => {}
                    Err(err) if err.kind() == ErrorKind::NotFound && n > 0 => break,
                    Err(err) if err.kind() == ErrorKind::NotFound => {}
                    Err(err) => return Err(err),
                }
            }
        }
        Ok(())
    }

    /// The endpoints that have logs.
    pub fn endpoints(&self) -> io::Result<Vec<EndpointId>> {
        let mut endpoints = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            endpoints.extend(entry?.file_name().to_str().and_then(|it| it.parse::<EndpointId>().ok()));
        }
        endpoints.sort();
        Ok(endpoints)
    }

    /// Removes all logs of an endpoint that is no more.
    pub fn forget(&self, endpoint: EndpointId) -> io::Result<()> {
        match fs::remove_dir_all(self.dir(endpoint)) {
            Err(err) if err.kind() != ErrorKind::NotFound => Err(err),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn dir(&self, endpoint: EndpointId) -> PathBuf {
        self.root.join(endpoint.to_string())
    }
}

/// `attempt-7.log` and `attempt-7.log.1` are of attempt 7.
fn attempt_of(name: &str) -> Option<u32> {
    let (number, rest) = name.strip_prefix("attempt-")?.split_once(".log")?;
    let is_part = rest.strip_prefix('.').is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit()));
    (rest.is_empty() || is_part).then(|| number.parse().ok()).flatten()
}

fn read_at(mut file: &File, offset: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn n_lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|it| **it == b'\n').count()
}

fn last_lines(mut bytes: Vec<u8>, lines_max: usize) -> Vec<u8> {
    let body = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let start = body.iter().enumerate().rev().filter(|(_, it)| **it == b'\n').map(|(at, _)| at + 1).nth(
        match lines_max.checked_sub(1) {
            Some(n) => n,
            None => return Vec::new(),
        },
    );
    bytes.split_off(start.unwrap_or(0))
}

/// Makes the folder of logs, readable by this user only.
pub(crate) fn create_root(root: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs() -> (tempfile::TempDir, ReplicaLogs, EndpointId) {
        let dir = tempfile::tempdir().unwrap();
        let logs = ReplicaLogs::new(dir.path());
        let endpoint = "endpoint-d23901de-ef8f-44bf-b3e7-de9c1ca8f2d7".parse().unwrap();
        fs::create_dir(logs.dir(endpoint)).unwrap();
        (dir, logs, endpoint)
    }

    #[test]
    fn a_follower_misses_nothing_when_the_log_is_rotated() {
        let (_dir, logs, endpoint) = logs();
        let path = logs.path(endpoint, 1);
        fs::write(&path, "one\ntwo\n").unwrap();
        let tail = logs.tail(endpoint, 1, 1).unwrap();
        assert_eq!(tail.bytes, b"two\n");
        fs::write(&path, "one\ntwo\nthree\n").unwrap();
        fs::rename(&path, numbered(&path, 1)).unwrap();
        fs::write(&path, "four\n").unwrap();
        let third = logs.follow(endpoint, 1, tail.next).unwrap();
        assert_eq!(third.bytes, b"three\n");
        let fourth = logs.follow(endpoint, 1, third.next).unwrap();
        assert_eq!(fourth.bytes, b"four\n");
        assert_eq!(logs.follow(endpoint, 1, fourth.next).unwrap().bytes, b"");
        assert_eq!(logs.tail(endpoint, 1, 3).unwrap().bytes, b"two\nthree\nfour\n");
    }

    #[test]
    fn only_the_newest_attempts_are_kept() {
        let (_dir, logs, endpoint) = logs();
        for attempt in 1..=5 {
            fs::write(logs.path(endpoint, attempt), "x").unwrap();
            fs::write(numbered(&logs.path(endpoint, attempt), 1), "xy").unwrap();
        }
        logs.prune(endpoint, 2, u64::MAX, |_| false).unwrap();
        assert_eq!(left(&logs, endpoint), [(4, 3), (5, 3)]);
    }

    fn left(logs: &ReplicaLogs, endpoint: EndpointId) -> Vec<(u32, u64)> {
        logs.attempts(endpoint).unwrap().into_iter().map(|it| (it.attempt, it.bytes)).collect()
    }

    #[test]
    fn the_oldest_attempts_go_when_an_endpoint_has_too_many_bytes_but_none_that_is_written() {
        let (_dir, logs, endpoint) = logs();
        for attempt in 1..=5 {
            fs::write(logs.path(endpoint, attempt), "0123456789").unwrap();
        }
        logs.prune(endpoint, 20, 50, |_| false).unwrap();
        assert_eq!(left(&logs, endpoint).len(), 5);
        logs.prune(endpoint, 20, 25, |it| it == 1).unwrap();
        assert_eq!(left(&logs, endpoint), [(1, 10), (5, 10)]);
        logs.prune(endpoint, 20, 5, |it| it == 1).unwrap();
        assert_eq!(left(&logs, endpoint), [(1, 10)]);
    }

    #[test]
    fn the_logs_of_an_endpoint_that_is_no_more_go_and_others_stay() {
        let (dir, logs, endpoint) = logs();
        let other = "endpoint-00000000-0000-0000-0000-000000000001".parse().unwrap();
        fs::create_dir(logs.dir(other)).unwrap();
        fs::write(logs.path(other, 1), "x").unwrap();
        fs::write(dir.path().join("notes"), "x").unwrap();
        assert_eq!(logs.endpoints().unwrap(), [other, endpoint]);
        logs.forget(endpoint).unwrap();
        logs.forget(endpoint).unwrap();
        assert_eq!(logs.endpoints().unwrap(), [other]);
    }
}

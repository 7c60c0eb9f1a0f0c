//! Replicas' logs for those who read them: one file per attempt of an endpoint, with older parts beside it.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use dedi_domain::{EndpointId, Timestamp};

use crate::reader::{self, FileChunk, FileCursor};
use crate::writer::numbered;

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

    /// The last `lines_max` lines of an attempt's log, at most `bytes_max` bytes, and where to follow from; `None` if
    /// there is no such log. `is_over` says that nothing more is written to it.
    pub fn tail(
        &self,
        endpoint: EndpointId,
        attempt: u32,
        (lines_max, bytes_max): (usize, usize),
        is_over: bool,
    ) -> io::Result<Option<FileChunk>> {
        reader::tail(&self.path(endpoint, attempt), lines_max, bytes_max, is_over)
    }

    /// What was written after `from`, about `bytes_max` bytes at most; empty if nothing was yet. Where files were
    /// removed before they were read, a line says so.
    pub fn follow(
        &self,
        endpoint: EndpointId,
        attempt: u32,
        from: FileCursor,
        bytes_max: usize,
        is_over: bool,
    ) -> io::Result<FileChunk> {
        reader::follow(&self.path(endpoint, attempt), from, bytes_max, is_over)
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

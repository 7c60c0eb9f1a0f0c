//! The engine's output on disk: lines, rotated by size, bounded. Never an error: a line that can't be
//! written is counted, and the count is written as soon as writing works again.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dedi_domain::replica::LOG_TAIL_LINES_MAX;

/// Bytes of one line; a longer one is cut into several.
const LINE_BYTES_MAX: usize = 8 << 10;

/// Bytes of one line in the tail that goes into the record of the exit.
pub const TAIL_LINE_BYTES_MAX: usize = 1 << 10;

/// How long a disk that refused a write is left alone.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// A log that is being written.
pub struct LogFile {
    path: PathBuf,
    bytes_max: u64,
    n_files: u32,
    file: Option<File>,
    bytes: u64,
    /// The line that has not ended yet.
    partial: Vec<u8>,
    tail: VecDeque<Vec<u8>>,
    lost_bytes: u64,
    retry_at: Instant,
}

impl LogFile {
    /// Opens it at its end, or makes it: files of `bytes_max` bytes, `n_files` at most.
    pub fn open(path: &Path, bytes_max: u64, n_files: u32) -> Self {
        let mut log = Self {
            path: path.to_owned(),
            bytes_max: bytes_max.max(LINE_BYTES_MAX as u64 * 2),
            n_files: n_files.max(1),
            file: None,
            bytes: 0,
            partial: Vec::with_capacity(LINE_BYTES_MAX),
            tail: VecDeque::with_capacity(LOG_TAIL_LINES_MAX),
            lost_bytes: 0,
            retry_at: Instant::now(),
        };
        log.reopen();
        log
    }

    /// Takes what came out of the pipe.
    pub fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - self.partial.len();
            let end = bytes.iter().take(room).position(|it| *it == b'\n');
            let (line, rest) = match end {
                Some(at) => (&bytes[..at], &bytes[at + 1..]),
                None => bytes.split_at(room.min(bytes.len())),
            };
            self.partial.extend_from_slice(line);
            bytes = rest;
            if end.is_some() || self.partial.len() == LINE_BYTES_MAX {
                self.end_line();
            }
        }
    }

    /// A line of our own.
    pub fn note(&mut self, text: &str) {
        self.finish();
        self.write(format!("[dedi] {text}\n").as_bytes());
    }

    /// Writes a line that never ended.
    pub fn finish(&mut self) {
        if !self.partial.is_empty() {
            self.end_line();
        }
    }

    /// The last lines, oldest first.
    pub fn tail(&self) -> impl DoubleEndedIterator<Item = String> + '_ {
        self.tail.iter().map(|it| String::from_utf8_lossy(it).into_owned())
    }

    /// The same, with a line that never ended.
    pub fn into_tail(mut self) -> Vec<String> {
        self.finish();
        self.tail().collect()
    }

    fn end_line(&mut self) {
        let mut line = std::mem::take(&mut self.partial);
        self.remember(&line);
        line.push(b'\n');
        self.put(&line);
        line.clear();
        self.partial = line;
    }

    fn remember(&mut self, line: &[u8]) {
        let mut slot = if self.tail.len() == LOG_TAIL_LINES_MAX { self.tail.pop_front() } else { None }
            .unwrap_or_default();
        slot.clear();
        slot.extend_from_slice(line.get(..TAIL_LINE_BYTES_MAX).unwrap_or(line));
        self.tail.push_back(slot);
    }

    fn put(&mut self, line: &[u8]) {
        if self.lost_bytes > 0 {
            if Instant::now() < self.retry_at {
                self.lost_bytes += line.len() as u64;
                return;
            }
            let note =
                format!("[dedi] {} bytes of log are lost: they could not be written\n", self.lost_bytes);
            if self.try_put(note.as_bytes()).is_err() {
                self.lose(line.len());
                return;
            }
            self.lost_bytes = 0;
        }
        if self.try_put(line).is_err() {
            self.lose(line.len());
        }
    }

    fn lose(&mut self, n_bytes: usize) {
        self.lost_bytes += n_bytes as u64;
        self.retry_at = Instant::now() + RETRY_DELAY;
    }

    fn try_put(&mut self, line: &[u8]) -> io::Result<()> {
        if self.bytes + line.len() as u64 > self.bytes_max {
            self.rotate();
        }
        if self.file.is_none() {
            self.reopen();
        }
        let file = self.file.as_mut().ok_or_else(|| io::Error::other("no log file"))?;
        let before = self.bytes;
        match file.write_all(line) {
            Ok(()) => {
                self.bytes += line.len() as u64;
                Ok(())
            }
            Err(err) => {
                // Half a line would run into the next one.
                let _ = file.set_len(before);
                Err(err)
            }
        }
    }

    fn rotate(&mut self) {
        self.file = None;
        for n in (1..self.n_files).rev() {
            let from = if n == 1 { self.path.clone() } else { numbered(&self.path, n - 1) };
            let _ = fs::rename(from, numbered(&self.path, n));
        }
        // With one file only, or where renaming failed, the bound still holds.
        let _ = fs::remove_file(&self.path);
        self.bytes = 0;
    }

    fn reopen(&mut self) {
        if let Some(parent) = self.path.parent() {
            let _ = fs::DirBuilder::new().recursive(true).mode(0o700).create(parent);
        }
        self.file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path).ok();
        self.bytes = self.file.as_ref().and_then(|it| it.metadata().ok()).map_or(0, |it| it.len());
    }
}

/// The name of the n-th file before the current one.
pub(crate) fn numbered(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_stays_within_its_files_and_keeps_the_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e/attempt-1.log");
        let mut log = LogFile::open(&path, 32 << 10, 3);
        for n in 0..10_000 {
            log.write(format!("line {n} {}\n", "x".repeat(100)).as_bytes());
        }
        let sizes: Vec<u64> = fs::read_dir(path.parent().unwrap())
            .unwrap()
            .map(|it| it.unwrap().metadata().unwrap().len())
            .collect();
        assert_eq!(sizes.len(), 3);
        assert!(sizes.iter().sum::<u64>() <= 3 * (32 << 10), "{sizes:?}");
        let tail = log.into_tail();
        assert_eq!(tail.len(), 100);
        assert!(tail[99].starts_with("line 9999 ") && tail[0].starts_with("line 9900 "));
    }

    #[test]
    fn a_line_without_end_is_cut_and_a_last_one_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("attempt-1.log");
        let mut log = LogFile::open(&path, 1 << 20, 1);
        log.write(&vec![b'y'; 20_000]);
        log.write(b"\nend");
        log.finish();
        let text = fs::read_to_string(&path).unwrap();
        let lengths: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(lengths, [8192, 8192, 3616, 3]);
    }

    #[test]
    fn a_disk_that_refuses_costs_lines_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        // A folder where the file should be: every open fails.
        let path = dir.path().join("attempt-1.log");
        fs::create_dir(&path).unwrap();
        let mut log = LogFile::open(&path, 1 << 20, 1);
        log.write(b"lost\n");
        assert_eq!(log.lost_bytes, 5);
        fs::remove_dir(&path).unwrap();
        log.retry_at = Instant::now();
        log.write(b"kept\n");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("[dedi] 5 bytes of log are lost") && text.ends_with("kept\n"), "{text}");
    }
}

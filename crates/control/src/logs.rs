//! Where the logs of replicas are read from. The server says where the files are; HTTP reads them through this.

use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use dedi_domain::{EndpointId, ReplicaId};
use dedi_runtime::process::ReplicaLogs;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};

/// The log of one launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogName {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its replica.
    pub replica: ReplicaId,
    /// Which of the endpoint's launches that replica is.
    pub attempt: u32,
}

/// A piece of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPiece {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where to go on reading.
    pub next: u64,
}

/// Reads logs.
#[async_trait]
pub trait LogSource: Send + Sync {
    /// The last `lines` lines, at most `bytes_max` bytes; `None` if there is no such log.
    async fn tail(&self, log: LogName, lines: usize, bytes_max: usize) -> io::Result<Option<LogPiece>>;

    /// What was written after position `from`, at most `bytes_max` bytes; empty when nothing was. A log that
    /// is shorter than `from` was begun anew and is read from its start.
    async fn after(&self, log: LogName, from: u64, bytes_max: usize) -> io::Result<LogPiece>;

    /// The endpoints that have logs.
    async fn endpoints(&self) -> io::Result<Vec<EndpointId>>;

    /// Removes all logs of an endpoint that is no more. Repeating it changes nothing.
    async fn forget(&self, endpoint: EndpointId) -> io::Result<()>;
}

/// The logs that the process runtime keeps in files.
#[derive(Clone, Debug)]
pub struct FileLogs(pub ReplicaLogs);

impl FileLogs {
    fn path(&self, log: LogName) -> PathBuf {
        self.0.path(log.endpoint, log.attempt)
    }
}

#[async_trait]
impl LogSource for FileLogs {
    async fn endpoints(&self) -> io::Result<Vec<EndpointId>> {
        let logs = self.0.clone();
        tokio::task::spawn_blocking(move || logs.endpoints()).await.map_err(io::Error::other)?
    }

    async fn forget(&self, endpoint: EndpointId) -> io::Result<()> {
        let logs = self.0.clone();
        tokio::task::spawn_blocking(move || logs.forget(endpoint)).await.map_err(io::Error::other)?
    }

    async fn tail(&self, log: LogName, lines: usize, bytes_max: usize) -> io::Result<Option<LogPiece>> {
        let mut file = match File::open(self.path(log)).await {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err),
        };
        let end = file.metadata().await?.len();
        let start = end.saturating_sub(u64::try_from(bytes_max).unwrap_or(u64::MAX));
        let bytes = read(&mut file, start, end - start).await?;
        let from = tail_start(&bytes, lines, start > 0);
        let next = start + u64::try_from(bytes.len()).unwrap_or(0);
        Ok(Some(LogPiece { bytes: bytes.get(from..).unwrap_or_default().to_vec(), next }))
    }

    async fn after(&self, log: LogName, from: u64, bytes_max: usize) -> io::Result<LogPiece> {
        let mut file = match File::open(self.path(log)).await {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                return Ok(LogPiece { bytes: Vec::new(), next: from });
            }
            Err(err) => return Err(err),
        };
        let end = file.metadata().await?.len();
        let from = if end < from { 0 } else { from };
        let n_wanted = (end - from).min(u64::try_from(bytes_max).unwrap_or(u64::MAX));
        let bytes = read(&mut file, from, n_wanted).await?;
        let next = from + u64::try_from(bytes.len()).unwrap_or(0);
        Ok(LogPiece { bytes, next })
    }
}

async fn read(file: &mut File, from: u64, n_bytes: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(from)).await?;
    let mut bytes = Vec::new();
    file.take(n_bytes).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// Where the last `lines` lines begin. When the bytes begin inside a line, that line is left out.
pub(crate) fn tail_start(bytes: &[u8], lines: usize, begins_inside: bool) -> usize {
    let ends = bytes.iter().enumerate().rev().filter(|(_, it)| **it == b'\n').map(|(at, _)| at + 1);
    let first_whole = if begins_inside {
        bytes.iter().position(|it| *it == b'\n').map_or(bytes.len(), |at| at + 1)
    } else {
        0
    };
    if lines == 0 {
        return bytes.len();
    }
    let skip_last = usize::from(bytes.last() == Some(&b'\n'));
    ends.skip(skip_last).nth(lines - 1).unwrap_or(0).max(first_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_has_whole_lines_only() {
        let text = b"a\nb\nc\n";
        let tail = |lines, inside| std::str::from_utf8(&text[tail_start(text, lines, inside)..]).unwrap();
        assert_eq!(tail(1, false), "c\n");
        assert_eq!(tail(2, false), "b\nc\n");
        assert_eq!(tail(9, false), "a\nb\nc\n");
        assert_eq!(tail(9, true), "b\nc\n");
        assert_eq!(tail(0, false), "");
        assert_eq!(tail_start(b"a\nb", 1, false), 2);
        assert_eq!(tail_start(b"", 3, true), 0);
    }
}

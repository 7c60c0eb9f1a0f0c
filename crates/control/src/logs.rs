//! Where the logs of replicas are read from. The server says where the files are; HTTP reads them through this.

use std::io;

use async_trait::async_trait;
use dedi_domain::{EndpointId, ReplicaId};
use dedi_runtime::process::{LogChunk, LogCursor, ReplicaLogs};

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

/// Reads logs.
#[async_trait]
pub trait LogSource: Send + Sync {
    /// The last `lines` lines, at most `bytes_max` bytes, whole lines only; `None` if there is no such log. `is_over`
    /// says that nothing more is written to it.
    async fn tail(
        &self,
        log: LogName,
        lines: usize,
        bytes_max: usize,
        is_over: bool,
    ) -> io::Result<Option<LogChunk>>;

    /// What was written after `from`, about `bytes_max` bytes at most, whole lines only; empty when nothing was. Where
    /// something is gone that was never read, a line says so.
    async fn follow(
        &self,
        log: LogName,
        from: LogCursor,
        bytes_max: usize,
        is_over: bool,
    ) -> io::Result<LogChunk>;

    /// The highest number of a launch of this endpoint that has a log; 0 if none has.
    async fn last_attempt(&self, endpoint: EndpointId) -> io::Result<u32>;

    /// The endpoints that have logs.
    async fn endpoints(&self) -> io::Result<Vec<EndpointId>>;

    /// Removes all logs of an endpoint that is no more. Repeating it changes nothing.
    async fn forget(&self, endpoint: EndpointId) -> io::Result<()>;
}

/// The logs that the process runtime keeps in files.
#[derive(Clone, Debug)]
pub struct FileLogs(pub ReplicaLogs);

#[async_trait]
impl LogSource for FileLogs {
    async fn last_attempt(&self, endpoint: EndpointId) -> io::Result<u32> {
        let logs = self.0.clone();
        let attempts = tokio::task::spawn_blocking(move || logs.attempts(endpoint));
        Ok(attempts.await.map_err(io::Error::other)??.last().map_or(0, |it| it.attempt))
    }

    async fn endpoints(&self) -> io::Result<Vec<EndpointId>> {
        let logs = self.0.clone();
        tokio::task::spawn_blocking(move || logs.endpoints()).await.map_err(io::Error::other)?
    }

    async fn forget(&self, endpoint: EndpointId) -> io::Result<()> {
        let logs = self.0.clone();
        tokio::task::spawn_blocking(move || logs.forget(endpoint)).await.map_err(io::Error::other)?
    }

    async fn tail(
        &self,
        log: LogName,
        lines: usize,
        bytes_max: usize,
        is_over: bool,
    ) -> io::Result<Option<LogChunk>> {
        let logs = self.0.clone();
        let read = move || logs.tail(log.endpoint, log.attempt, (lines, bytes_max), is_over);
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
    }

    async fn follow(
        &self,
        log: LogName,
        from: LogCursor,
        bytes_max: usize,
        is_over: bool,
    ) -> io::Result<LogChunk> {
        let logs = self.0.clone();
        let read = move || logs.follow(log.endpoint, log.attempt, from, bytes_max, is_over);
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
    }
}

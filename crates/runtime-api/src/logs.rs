//! What replicas have logged, wherever a runtime keeps it.

use std::fmt;

use async_trait::async_trait;
use dedi_domain::{EndpointId, ReplicaId};

use crate::BoxError;

/// The log of one launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogName {
    /// The endpoint the replica belongs to.
    pub endpoint: EndpointId,
    /// The replica that wrote the log.
    pub replica: ReplicaId,
    /// Which of the endpoint's launches that replica is.
    pub attempt: u32,
}

/// A position between two lines of a log, opaque to everyone but the runtime that issued it: ASCII letters, digits, `-`,
/// `_` and `.`. The default is the log's beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogCursor(String);

impl LogCursor {
    /// Wraps a runtime's own notation of a position.
    pub fn new(word: impl Into<String>) -> Self {
        Self(word.into())
    }

    /// The runtime's notation, as issued.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogChunk {
    /// Log bytes, whole lines only.
    pub bytes: Vec<u8>,
    /// Cursor to continue from.
    pub next: LogCursor,
}

/// Why a log was not read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The cursor was not issued by this runtime.
    #[error("this is no place in a log")]
    NoPlace,
    /// Reading failed; a later attempt may succeed.
    #[error("{0}")]
    Unreadable(BoxError),
}

/// The part of a runtime that has the logs. They outlive their replicas, and go when [`Logs::forget_logs`] says so or
/// when the runtime has too many.
#[async_trait]
pub trait Logs: Send + Sync {
    /// The last `lines` lines, at most `bytes_max` bytes, whole lines only; `None` if there is no such log. `is_over`
    /// says that nothing more is written to it.
    async fn tail_log(
        &self,
        log: LogName,
        lines: usize,
        bytes_max: usize,
        is_over: bool,
    ) -> Result<Option<LogChunk>, LogError>;

    /// What was written after `from`, about `bytes_max` bytes at most, whole lines only; empty when nothing was. Where
    /// something is gone that was never read, a line says so.
    async fn follow_log(
        &self,
        log: LogName,
        from: &LogCursor,
        bytes_max: usize,
        is_over: bool,
    ) -> Result<LogChunk, LogError>;

    /// The highest number of a launch of this endpoint that has a log; 0 if none has.
    async fn last_logged_attempt(&self, endpoint: EndpointId) -> Result<u32, LogError>;

    /// The endpoints that have logs.
    async fn logged_endpoints(&self) -> Result<Vec<EndpointId>, LogError>;

    /// Removes all logs of an endpoint that is no more. Repeating it changes nothing.
    async fn forget_logs(&self, endpoint: EndpointId) -> Result<(), LogError>;
}

//! The replicas' logs as a runtime gives them out. They are files, which are read off the async threads.

use async_trait::async_trait;
use dedi_domain::EndpointId;
use dedi_replica_logs::{FileChunk, FileCursor, ReplicaLogs};
use dedi_runtime_api::{LogChunk, LogCursor, LogError, LogName, Logs};

use super::{ProcessRuntime, blocking};

#[async_trait]
impl Logs for ProcessRuntime {
    async fn tail_log(
        &self,
        log: LogName,
        lines: usize,
        bytes_max: usize,
        is_over: bool,
    ) -> Result<Option<LogChunk>, LogError> {
        let read = move |logs: ReplicaLogs| logs.tail(log.endpoint, log.attempt, (lines, bytes_max), is_over);
        Ok(self.read_logs(read).await?.map(chunk))
    }

    async fn follow_log(
        &self,
        log: LogName,
        from: &LogCursor,
        bytes_max: usize,
        is_over: bool,
    ) -> Result<LogChunk, LogError> {
        let from: FileCursor = match from.as_str() {
            "" => FileCursor::default(),
            word => word.parse().map_err(|_no_cursor| LogError::NoPlace)?,
        };
        let read = move |logs: ReplicaLogs| logs.follow(log.endpoint, log.attempt, from, bytes_max, is_over);
        self.read_logs(read).await.map(chunk)
    }

    async fn last_logged_attempt(&self, endpoint: EndpointId) -> Result<u32, LogError> {
        let attempts = self.read_logs(move |logs| logs.attempts(endpoint)).await?;
        Ok(attempts.last().map_or(0, |it| it.attempt))
    }

    async fn logged_endpoints(&self) -> Result<Vec<EndpointId>, LogError> {
        self.read_logs(|logs| logs.endpoints()).await
    }

    async fn forget_logs(&self, endpoint: EndpointId) -> Result<(), LogError> {
        self.read_logs(move |logs| logs.forget(endpoint)).await
    }
}

impl ProcessRuntime {
    async fn read_logs<T: Send + 'static>(
        &self,
        read: impl FnOnce(ReplicaLogs) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, LogError> {
        let logs = self.logs();
        blocking(move || read(logs)).await.map_err(|err| LogError::Unreadable(err.into()))
    }
}

fn chunk(it: FileChunk) -> LogChunk {
    LogChunk { bytes: it.bytes, next: LogCursor::new(it.next.to_string()) }
}

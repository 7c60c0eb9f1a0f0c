//! How far an engine's loading is, by what it logs: for engines that say it nowhere else.

use dedi_domain::engine::Progress;
use dedi_replica_logs::FileCursor;

use super::blocking;
use super::monitor::Watch;

/// Most bytes of a log that one look reads; the next one goes on from there.
const BYTES_MAX: usize = 256 << 10;

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct LogProgress {
    at: FileCursor,
    percent: Option<u8>,
}

impl LogProgress {
    /// The share that is done by what was logged until now; `None` where nothing was that tells, or it is told otherwise.
    pub(super) async fn read_new(&mut self, watch: &Watch<'_>) -> Option<f64> {
        let Progress::Log(stages) = &watch.record.health.progress else { return None };
        let (logs, at) = (watch.inner.logs.clone(), self.at);
        let (endpoint, attempt) = (watch.record.launch.endpoint, watch.record.launch.attempt);
        let read = blocking(move || logs.follow(endpoint, attempt, at, BYTES_MAX, false)).await;
        if let Ok(chunk) = read {
            self.at = chunk.next;
            let text = String::from_utf8_lossy(&chunk.bytes);
            let reached = stages.iter().filter(|it| text.contains(&it.says)).map(|it| it.percent).max();
            self.percent = self.percent.max(reached);
        }
        self.percent.map(|it| f64::from(it) / 100.0)
    }
}

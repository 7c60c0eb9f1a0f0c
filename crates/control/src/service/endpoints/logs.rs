//! One launch's log: its end, or as it grows.

use std::sync::Arc;
use std::time::Duration;

use dedi_runtime_api::{LogChunk, LogCursor, LogError, LogName, Runtime};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Endpoints;
use crate::key_ring::KeyRing;
use crate::service::caller::Caller;
use crate::service::error::{Absent, ServiceError};
use crate::store::{Attempt, Store};

const LINES_DEFAULT: i64 = 100;
const LINES_MAX: i64 = 100_000;
/// Most of a log in one piece.
const BYTES_MAX: usize = 4 << 20;
/// Launches that a refusal names: the ones a person would ask for next.
const NAMED_MAX: usize = 8;
/// What is said of a place that is none.
pub(crate) const NO_PLACE: &str =
    "from must be a place as a mark of a followed log names it, such as 2.1f-3a-0";
/// Between two looks at a log that is followed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longest a log is followed; the client may ask again.
const FOLLOW_MAX: Duration = Duration::from_secs(3_600);

/// Reads the logs of endpoints' launches.
pub(crate) struct Logs {
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) source: Arc<dyn Runtime>,
    pub(crate) keys: Arc<KeyRing>,
    /// When this server ends, what has no end of its own is cut.
    pub(crate) closing: CancellationToken,
}

/// Which part of which log.
#[derive(Debug, Default)]
pub(crate) struct LogRequest {
    /// Lines from the end.
    pub(crate) tail: Option<i64>,
    /// The number of the launch; the last one by default.
    pub(crate) attempt: Option<i64>,
    /// Its replica's id.
    pub(crate) replica: Option<String>,
    /// Also what comes after that.
    pub(crate) follows: bool,
    /// Goes on there in the log of the launch; with `follows` only.
    pub(crate) from: Option<LogCursor>,
}

/// A log that was read.
pub(crate) enum LogAnswer {
    Whole(Vec<u8>),
    Grows(Box<Follow>),
}

impl Logs {
    pub(crate) async fn read(
        &self,
        caller: &Caller,
        named: &str,
        request: LogRequest,
    ) -> Result<LogAnswer, ServiceError> {
        let desired = self.endpoints.find(caller, named).await?;
        let lines = usize::try_from(request.tail.unwrap_or(LINES_DEFAULT).min(LINES_MAX)).unwrap_or(0);
        let attempts = self.store.attempts(desired.id).await?;
        let chosen = attempts.iter().find(|it| {
            request.attempt.is_none_or(|wanted| i64::from(it.attempt) == wanted)
                && request.replica.as_ref().is_none_or(|wanted| it.replica.to_string() == *wanted)
        });
        let Some(attempt) = chosen else {
            return match (request.attempt, request.replica) {
                // It has never been launched: its log is empty, not absent.
                (None, None) => Ok(LogAnswer::Whole(Vec::new())),
                (Some(_), _) | (None, Some(_)) => {
                    Err(ServiceError::NotFound(Absent::Launch(no_launch(&attempts))))
                }
            };
        };
        let log = LogName { endpoint: desired.id, replica: attempt.replica, attempt: attempt.attempt };
        if let (Some(next), true) = (request.from, request.follows) {
            // Whether it is a place is for the runtime to say, and for a client to hear at once.
            self.source.follow_log(log, &next, 0, false).await.map_err(|err| unread(log, &err))?;
            return Ok(self.follow(caller, log, LogChunk { bytes: Vec::new(), next }));
        }
        let piece = self.source.tail_log(log, lines, BYTES_MAX, attempt.has_ended).await;
        let piece = piece.map_err(|err| unread(log, &err))?;
        let piece = match piece {
            Some(piece) => piece,
            // The file is gone; a failure kept the end of it.
            None if attempt.has_ended || !request.follows => {
                let tail = self.store.log_tail(attempt.replica).await?;
                return Ok(LogAnswer::Whole(last_of(&tail, lines).into_bytes()));
            }
            None => LogChunk::default(),
        };
        Ok(if request.follows { self.follow(caller, log, piece) } else { LogAnswer::Whole(piece.bytes) })
    }

    fn follow(&self, caller: &Caller, log: LogName, first: LogChunk) -> LogAnswer {
        LogAnswer::Grows(Box::new(Follow {
            caller: caller.clone(),
            store: self.store.clone(),
            source: self.source.clone(),
            keys: self.keys.clone(),
            closing: self.closing.clone(),
            log,
            next: first.next.clone(),
            first: Some(first),
            until: Instant::now() + FOLLOW_MAX,
        }))
    }
}

fn unread(log: LogName, err: &LogError) -> ServiceError {
    match err {
        LogError::NoPlace => ServiceError::invalid("from", NO_PLACE),
        LogError::Unreadable(_) => {
            tracing::error!("the log of {} can't be read: {err}", log.replica);
            ServiceError::Internal
        }
    }
}

/// That the launch asked for is not there, and which are, newest first.
fn no_launch(attempts: &[Attempt]) -> String {
    const WHAT: &str = "There is no launch of that number or replica";
    let named: Vec<String> = attempts
        .iter()
        .take(NAMED_MAX)
        .map(|it| format!("attempt {} was {}", it.attempt, it.replica))
        .collect();
    match attempts.len().saturating_sub(named.len()) {
        _ if named.is_empty() => format!("{WHAT}: the endpoint has not been launched yet"),
        0 => format!("{WHAT}: {}", named.join(", ")),
        n => format!("{WHAT}: {}, and {n} before", named.join(", ")),
    }
}

fn last_of(tail: &str, lines: usize) -> String {
    let all: Vec<&str> = tail.lines().collect();
    let skipped = all.len().saturating_sub(lines);
    all.iter().skip(skipped).map(|it| format!("{it}\n")).collect()
}

/// A log that is followed. It has an end only when the launch has ended; at every other end it is cut, so that nobody
/// takes the one for the other.
pub(crate) struct Follow {
    /// Who follows; it ends with the key.
    caller: Caller,
    store: Arc<dyn Store>,
    source: Arc<dyn Runtime>,
    keys: Arc<KeyRing>,
    closing: CancellationToken,
    log: LogName,
    next: LogCursor,
    first: Option<LogChunk>,
    until: Instant,
}

/// Why a log that goes on is followed no more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cut {
    /// The client may ask again, here or where this server's successor is.
    #[error("the log goes on, but not on this connection")]
    Elsewhere,
    /// To ask again is refused with the same.
    #[error("dedi: this API key was revoked or has expired; the log goes on, but not for this key")]
    KeyEnded,
    #[error(transparent)]
    Read(LogError),
}

impl Follow {
    /// Which of the endpoint's launches it is of.
    pub(crate) fn attempt(&self) -> u32 {
        self.log.attempt
    }

    /// The next piece, of which only the first may be empty; `None` when the launch has ended and everything was read.
    pub(crate) async fn next(&mut self) -> Option<Result<LogChunk, Cut>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        loop {
            if !self.keys.is_still_valid(&self.caller.0) {
                return Some(Err(Cut::KeyEnded));
            }
            if self.closing.is_cancelled() || Instant::now() >= self.until {
                return Some(Err(Cut::Elsewhere));
            }
            // Asked before reading, so that what was written until the end is read.
            let has_ended = match self.store.has_ended(self.log.replica).await {
                Ok(it) => it,
                // Not known, so not ended.
                Err(err) => {
                    tracing::debug!(replica.id = %self.log.replica, "whether its log goes on is unknown: {err}");
                    false
                }
            };
            match self.source.follow_log(self.log, &self.next, BYTES_MAX, has_ended).await {
                Ok(piece) if !piece.bytes.is_empty() => {
                    self.next = piece.next.clone();
                    return Some(Ok(piece));
                }
                Ok(_) if has_ended => return None,
                Ok(_) => {}
                Err(err) => return Some(Err(Cut::Read(err))),
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = self.closing.cancelled() => {}
            }
        }
    }
}

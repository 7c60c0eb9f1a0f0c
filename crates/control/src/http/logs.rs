//! `GET /v1/endpoints/{id}/logs`: one launch's log as plain text, its end first or as it grows.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dedi_api::LOG_MARK;
use dedi_domain::Desired;
use dedi_runtime_api::{LogChunk, LogCursor, LogError, LogName};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use tokio::time::{Instant, sleep};

use super::auth::Caller;
use super::body::Query;
use super::error::ApiError;
use crate::shared::Shared;
use crate::store::Attempt;

const LINES_DEFAULT: i64 = 100;
const LINES_MAX: i64 = 100_000;
/// Most of a log in one piece.
const BYTES_MAX: usize = 4 << 20;
/// Launches that a refusal names: the ones a person would ask for next.
const NAMED_MAX: usize = 8;
/// Longest name of a place in a log.
const CURSOR_BYTES_MAX: usize = 256;
/// Between two looks at a log that is followed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What is said before the cut; to ask again is refused with the same.
const KEY_ENDED: &str =
    "dedi: this API key was revoked or has expired; the log goes on, but not for this key";
/// Longest a log is followed; the client may ask again.
const FOLLOW_MAX: Duration = Duration::from_secs(3_600);

pub(super) async fn read(
    shared: &Arc<Shared>,
    caller: &Caller,
    desired: &Desired,
    query: &Query,
) -> Result<Response, ApiError> {
    let lines = query.number("tail")?.unwrap_or(LINES_DEFAULT).min(LINES_MAX);
    let lines = usize::try_from(lines).unwrap_or(0);
    let number = query.number("attempt")?;
    let replica = query.get("replica");
    let follows = query.boolean("follow")?;
    let marks = query.boolean("marks")?;
    let from = query.given("from").map(place).transpose()?;
    let number = from.as_ref().map_or(number, |(attempt, _)| Some(i64::from(*attempt)));
    let attempts = shared.store.attempts(desired.id).await?;
    let chosen = attempts.iter().find(|it| {
        number.is_none_or(|wanted| i64::from(it.attempt) == wanted)
            && replica.is_none_or(|wanted| it.replica.to_string() == wanted)
    });
    let Some(attempt) = chosen else {
        return match (number, replica) {
            // It has never been launched: its log is empty, not absent.
            (None, None) => Ok(text(Body::empty())),
            (Some(_), _) | (None, Some(_)) => Err(ApiError::NotFound(no_launch(&attempts))),
        };
    };
    let log = LogName { endpoint: desired.id, replica: attempt.replica, attempt: attempt.attempt };
    if let (Some((_, next)), true) = (from, follows) {
        // Whether it is a place is for the runtime to say, and for a client to hear at once.
        shared.runtime.follow_log(log, &next, 0, false).await.map_err(|err| unread(log, &err))?;
        return Ok(Follow::begin(shared, caller, log, marks, LogChunk { bytes: Vec::new(), next }));
    }
    let piece = shared.runtime.tail_log(log, lines, BYTES_MAX, attempt.has_ended).await;
    let piece = piece.map_err(|err| unread(log, &err))?;
    let piece = match piece {
        Some(piece) => piece,
        // The file is gone; a failure kept the end of it.
        None if attempt.has_ended || !follows => {
            let tail = shared.store.log_tail(attempt.replica).await?;
            return Ok(text(Body::from(last_of(&tail, lines))));
        }
        None => LogChunk::default(),
    };
    if !follows {
        return Ok(text(Body::from(piece.bytes)));
    }
    Ok(Follow::begin(shared, caller, log, marks, piece))
}

/// A place as a mark names it: the launch's number and the place in its log.
fn place(text: &str) -> Result<(u32, LogCursor), ApiError> {
    let number = |it: &str| {
        let is_written = (1..=9).contains(&it.len()) && it.bytes().all(|byte| byte.is_ascii_digit());
        it.parse().ok().filter(|_| is_written)
    };
    let cursor = |it: &str| {
        let is_word = it.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        (is_word && (1..=CURSOR_BYTES_MAX).contains(&it.len())).then(|| LogCursor::new(it))
    };
    let parsed = text.split_once('.').and_then(|(attempt, at)| Some((number(attempt)?, cursor(at)?)));
    parsed.ok_or_else(no_place)
}

fn no_place() -> ApiError {
    ApiError::Invalid {
        message: "from must be a place as a mark of a followed log names it, such as 2.1f-3a-0".to_owned(),
        param: Some("from".to_owned()),
        code: None,
    }
}

fn unread(log: LogName, err: &LogError) -> ApiError {
    match err {
        LogError::NoPlace => no_place(),
        LogError::Unreadable(_) => {
            tracing::error!("the log of {} can't be read: {err}", log.replica);
            ApiError::Internal
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

fn text(body: Body) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

/// A log that is followed. Its body has an end only when the launch has ended; at every other end, such as this
/// server's, it is cut, so that nobody takes the one for the other.
struct Follow {
    shared: Arc<Shared>,
    /// Who follows; it ends with the key.
    caller: Caller,
    log: LogName,
    next: LogCursor,
    first: Option<LogChunk>,
    until: Instant,
    /// Whether the client asked to be told the place after each piece, so that it can ask for the rest elsewhere.
    marks: bool,
    /// Whether it was said that the key is none any more.
    was_told: bool,
}

impl Follow {
    fn begin(shared: &Arc<Shared>, caller: &Caller, log: LogName, marks: bool, first: LogChunk) -> Response {
        let until = Instant::now() + FOLLOW_MAX;
        let (shared, caller, next, first) = (shared.clone(), caller.clone(), first.next.clone(), Some(first));
        let state = Self { shared, caller, log, next, first, until, marks, was_told: false };
        text(Body::from_stream(stream::unfold(state, Self::step)))
    }

    /// The next piece; ends when the launch has ended and everything was read.
    async fn step(mut self) -> Option<(io::Result<Bytes>, Self)> {
        if let Some(first) = self.first.take().filter(|it| self.marks || !it.bytes.is_empty()) {
            return Some((Ok(self.piece(first)), self));
        }
        loop {
            if !self.shared.is_still(&self.caller.0) {
                if std::mem::replace(&mut self.was_told, true) {
                    return Some((Err(io::Error::other(KEY_ENDED)), self));
                }
                return Some((Ok(Bytes::from(format!("\n{KEY_ENDED}\n"))), self));
            }
            if self.shared.closing.is_cancelled() || Instant::now() >= self.until {
                let cut = io::Error::other("the log goes on, but not on this connection");
                return Some((Err(cut), self));
            }
            // Asked before reading, so that what was written until the end is read.
            let has_ended = match self.shared.store.has_ended(self.log.replica).await {
                Ok(it) => it,
                // Not known, so not ended.
                Err(err) => {
                    tracing::debug!(replica.id = %self.log.replica, "whether its log goes on is unknown: {err}");
                    false
                }
            };
            match self.shared.runtime.follow_log(self.log, &self.next, BYTES_MAX, has_ended).await {
                Ok(piece) if !piece.bytes.is_empty() => {
                    self.next = piece.next.clone();
                    return Some((Ok(self.piece(piece)), self));
                }
                Ok(_) if has_ended => return None,
                Ok(_) => {}
                Err(err) => return Some((Err(io::Error::other(err)), self)),
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = self.shared.closing.cancelled() => {}
            }
        }
    }

    fn piece(&self, piece: LogChunk) -> Bytes {
        let LogChunk { mut bytes, next } = piece;
        if self.marks {
            without_marks(&mut bytes);
            if bytes.last().is_some_and(|it| *it != b'\n') {
                bytes.push(b'\n');
            }
            bytes.push(LOG_MARK);
            bytes.extend_from_slice(format!("{}.{next}\n", self.log.attempt).as_bytes());
        }
        bytes.into()
    }
}

/// A line of an engine that looks like a mark is none.
fn without_marks(bytes: &mut [u8]) {
    let mut begins_line = true;
    for byte in bytes {
        if begins_line && *byte == LOG_MARK {
            *byte = b'?';
        }
        begins_line = *byte == b'\n';
    }
}

//! `GET /v1/endpoints/{id}/logs`: one launch's log as plain text, its end first or as it grows.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dedi_domain::Desired;
use dedi_runtime::process::{LogChunk, LogCursor};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use tokio::time::{Instant, sleep};

use super::body::Query;
use super::error::ApiError;
use crate::logs::LogName;
use crate::shared::Shared;
use crate::store::Attempt;

const LINES_DEFAULT: i64 = 100;
const LINES_MAX: i64 = 100_000;
/// Most of a log in one piece.
const BYTES_MAX: usize = 4 << 20;
/// Launches that a refusal names: the ones a person would ask for next.
const NAMED_MAX: usize = 8;
/// Between two looks at a log that is followed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longest a log is followed; the client may ask again.
const FOLLOW_MAX: Duration = Duration::from_secs(3_600);

pub(super) async fn read(
    shared: &Arc<Shared>,
    desired: &Desired,
    query: &Query,
) -> Result<Response, ApiError> {
    let lines = query.number("tail")?.unwrap_or(LINES_DEFAULT).min(LINES_MAX);
    let lines = usize::try_from(lines).unwrap_or(0);
    let number = query.number("attempt")?;
    let replica = query.get("replica");
    let follows = query.boolean("follow")?;
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
    let piece = shared.logs.tail(log, lines, BYTES_MAX, attempt.has_ended).await.map_err(|err| {
        tracing::error!("the log of {} can't be read: {err}", attempt.replica);
        ApiError::Internal
    })?;
    let piece = match piece {
        Some(piece) => piece,
        // The file is gone; a failure kept the end of it.
        None if attempt.has_ended || !follows => return Ok(text(Body::from(kept(attempt, lines)))),
        None => LogChunk::default(),
    };
    if !follows {
        return Ok(text(Body::from(piece.bytes)));
    }
    let until = Instant::now() + FOLLOW_MAX;
    let state = Follow { shared: shared.clone(), log, next: piece.next, first: Some(piece.bytes), until };
    Ok(text(Body::from_stream(stream::unfold(state, Follow::step))))
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

fn kept(attempt: &Attempt, lines: usize) -> String {
    let all: Vec<&str> = attempt.log_tail.lines().collect();
    let skipped = all.len().saturating_sub(lines);
    all.iter().skip(skipped).map(|it| format!("{it}\n")).collect()
}

fn text(body: Body) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

struct Follow {
    shared: Arc<Shared>,
    log: LogName,
    next: LogCursor,
    first: Option<Vec<u8>>,
    until: Instant,
}

impl Follow {
    /// The next piece; ends when the launch has ended and everything was read.
    async fn step(mut self) -> Option<(std::io::Result<Bytes>, Self)> {
        if let Some(first) = self.first.take().filter(|it| !it.is_empty()) {
            return Some((Ok(first.into()), self));
        }
        loop {
            // Asked before reading, so that what was written until the end is read.
            let has_ended = match self.shared.store.attempts(self.log.endpoint).await {
                Ok(attempts) => {
                    attempts.iter().find(|it| it.replica == self.log.replica).is_none_or(|it| it.has_ended)
                }
                Err(_) => true,
            };
            match self.shared.logs.follow(self.log, self.next, BYTES_MAX, has_ended).await {
                Ok(piece) if !piece.bytes.is_empty() => {
                    self.next = piece.next;
                    return Some((Ok(piece.bytes.into()), self));
                }
                Ok(_) if has_ended || Instant::now() >= self.until => return None,
                Ok(_) => sleep(LOOK_EVERY).await,
                Err(err) => return Some((Err(err), self)),
            }
        }
    }
}

//! `GET /v1/endpoints/{id}/logs`: one launch's log as plain text, its end first or as it grows.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dedi_api::LOG_MARK;
use dedi_runtime_api::{LogChunk, LogCursor};
use futures_util::stream;
use http::header::CONTENT_TYPE;

use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::http::v1::path::Named;
use crate::service::Caller;
use crate::service::endpoints::{Cut, Follow, LogAnswer, LogRequest, Logs, NO_PLACE};

/// Longest name of a place in a log.
const CURSOR_BYTES_MAX: usize = 256;

pub(crate) async fn logs(
    State(logs): State<Arc<Logs>>,
    caller: Caller,
    Named(id): Named,
    query: Query,
) -> Result<Response, ApiError> {
    let marks = query.boolean("marks")?;
    let from = query.given("from").map(place).transpose()?;
    let request = LogRequest {
        tail: query.number("tail")?,
        attempt: match (query.number("attempt")?, &from) {
            (_, Some((attempt, _))) => Some(i64::from(*attempt)),
            (number, None) => number,
        },
        replica: query.get("replica").map(str::to_owned),
        follows: query.boolean("follow")?,
        from: from.map(|(_, cursor)| cursor),
    };
    Ok(text(match logs.read(&caller, &id, request).await? {
        LogAnswer::Whole(bytes) => Body::from(bytes),
        LogAnswer::Grows(follow) => {
            let state = Followed { follow, marks, was_told: false };
            Body::from_stream(stream::unfold(state, Followed::step))
        }
    }))
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
    parsed.ok_or_else(|| ApiError::field("from", NO_PLACE))
}

fn text(body: Body) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

/// A body that grows with a log. One that is cut ends without HTTP's end.
struct Followed {
    follow: Box<Follow>,
    /// Whether the client asked to be told the place after each piece, so that it can ask for the rest elsewhere.
    marks: bool,
    /// Whether it was said that the key is none any more.
    was_told: bool,
}

impl Followed {
    async fn step(mut self) -> Option<(io::Result<Bytes>, Self)> {
        loop {
            return match self.follow.next().await? {
                Ok(piece) if piece.bytes.is_empty() && !self.marks => continue,
                Ok(piece) => Some((Ok(self.piece(piece)), self)),
                // Said before the cut.
                Err(Cut::KeyEnded) if !self.was_told => {
                    self.was_told = true;
                    Some((Ok(Bytes::from(format!("\n{}\n", Cut::KeyEnded))), self))
                }
                Err(cut @ (Cut::KeyEnded | Cut::Elsewhere | Cut::Read(_))) => {
                    Some((Err(io::Error::other(cut)), self))
                }
            };
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
            bytes.extend_from_slice(format!("{}.{next}\n", self.follow.attempt()).as_bytes());
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

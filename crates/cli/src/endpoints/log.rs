//! One launch's log as it is read. One that is followed outlives the server: it is asked for again, from where it was
//! read to, until its launch has ended.

use std::time::Duration;

use dedi_api::LOG_MARK;
use tokio::time::{Instant, sleep};

use crate::client::{Stream, encoded};
use crate::client_error::ClientError;
use crate::context::{Context, with_query};
use crate::error::Result;
use crate::patience::AWAY_MAX;

/// Between two tries to reach the server again.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// A connection that holds for less was no return of the server.
const STEADY: Duration = Duration::from_secs(2);

/// What is left when a log has been read to its end.
pub(super) struct ReadToEnd {
    /// The last line, where it has no end.
    pub rest: String,
    /// Which launch it is of, where the server named places.
    pub attempt: Option<String>,
    /// Whether nothing came at all.
    pub is_empty: bool,
}

/// What comes next of a log.
pub(super) enum Piece {
    /// Whole lines; none where there is no whole one yet.
    Text(String),
    /// To be said about the log.
    Notice(&'static str),
    End(ReadToEnd),
}

/// A log that is read. One that is followed outlives the server.
pub(super) struct Log<'a> {
    context: &'a Context,
    path: String,
    follows: bool,
    stream: Stream,
    lines: Lines,
    opened_at: Instant,
    away_since: Option<Instant>,
    /// Why the stream broke, until it is opened again.
    broken: Option<ClientError>,
    is_empty: bool,
}

impl<'a> Log<'a> {
    pub(super) async fn open(
        path: &str,
        mut query: Vec<String>,
        follows: bool,
        context: &'a Context,
    ) -> std::result::Result<Self, ClientError> {
        if follows {
            query.push("follow=true&marks=true".to_owned());
        }
        let stream = context.client.get_stream(&with_query(path, &query)).await?;
        Ok(Self {
            context,
            path: path.to_owned(),
            follows,
            stream,
            lines: Lines::default(),
            opened_at: Instant::now(),
            away_since: None,
            broken: None,
            is_empty: true,
        })
    }

    pub(super) async fn next(&mut self) -> Result<Piece> {
        if let Some(err) = self.broken.take() {
            self.reopen(err).await?;
        }
        match self.stream.next().await {
            Ok(Some(piece)) => {
                self.is_empty &= piece.is_empty();
                self.lines.held.extend_from_slice(&piece);
                Ok(Piece::Text(self.lines.take()))
            }
            Ok(None) => {
                let rest = String::from_utf8_lossy(&self.lines.held).into_owned();
                let place = self.lines.place.as_deref();
                let attempt = place.and_then(|it| it.split_once('.')).map(|it| it.0.to_owned());
                Ok(Piece::End(ReadToEnd { rest, attempt, is_empty: self.is_empty }))
            }
            Err(err) if self.follows && self.lines.place.is_some() => {
                self.lines.forget_unmarked();
                self.broken = Some(err);
                if self.away_since.is_some() && self.opened_at.elapsed() < STEADY {
                    return Ok(Piece::Text(String::new()));
                }
                self.away_since = Some(Instant::now());
                Ok(Piece::Notice(
                    "the server closed the connection; the log continues here once it answers again",
                ))
            }
            Err(err) => Err(err.into()),
        }
    }

    /// Asks for the rest until there is an answer, for a while.
    async fn reopen(&mut self, cause: ClientError) -> Result {
        let place = self.lines.place.as_deref().unwrap_or_default();
        let path = format!("{}?follow=true&marks=true&from={}", self.path, encoded(place));
        let since = self.away_since.unwrap_or(self.opened_at);
        let mut err = cause;
        while err.is_passing() && since.elapsed() < AWAY_MAX {
            sleep(RETRY_DELAY).await;
            err = match self.context.client.get_stream(&path).await {
                Ok(stream) => {
                    self.stream = stream;
                    self.opened_at = Instant::now();
                    return Ok(());
                }
                Err(err) => err,
            };
        }
        Err(err.into())
    }
}

/// What has come of a log and is not printed yet.
#[derive(Default)]
struct Lines {
    held: Vec<u8>,
    /// Up to where `held` was looked through.
    n_seen: usize,
    /// The place after the last piece that came whole, where the server names places.
    place: Option<String>,
}

impl Lines {
    /// What can be printed: whole lines, so that no character is cut in two, and where the server names places only
    /// those before such a place: what comes after it would come again after a break.
    fn take(&mut self) -> String {
        let mut out = Vec::new();
        while let Some(n) = self.held.get(self.n_seen..).and_then(|it| it.iter().position(|it| *it == b'\n'))
        {
            let end = self.n_seen + n + 1;
            let mark = self.held.get(self.n_seen..end).and_then(|it| it.strip_prefix(&[LOG_MARK]));
            if let Some(mark) = mark {
                self.place = Some(String::from_utf8_lossy(mark).trim_end().to_owned());
                out.extend(self.held.drain(..self.n_seen));
                self.held.drain(..=n);
                self.n_seen = 0;
            } else {
                self.n_seen = end;
            }
        }
        if self.place.is_none() {
            out.extend(self.held.drain(..self.n_seen));
            self.n_seen = 0;
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    /// What came without its place comes again.
    fn forget_unmarked(&mut self) {
        self.held.clear();
        self.n_seen = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_are_printed_once_their_position_is_known() {
        let mut lines = Lines::default();
        let mut take = |piece: &str| {
            lines.held.extend_from_slice(piece.as_bytes());
            (lines.take(), lines.place.clone())
        };
        assert_eq!(take("old\nser"), ("old\n".to_owned(), None));
        assert_eq!(take("ver\n\u{1e}1.a\n"), ("server\n".to_owned(), Some("1.a".to_owned())));
        assert_eq!(take("one\ntwo\n").0, "");
        assert_eq!(take("\u{1e}1.").0, "");
        assert_eq!(take("b\nthree\n"), ("one\ntwo\n".to_owned(), Some("1.b".to_owned())));
        assert_eq!(take("\u{1e}1.c\n\u{1e}1.d\n"), ("three\n".to_owned(), Some("1.d".to_owned())));
    }
}

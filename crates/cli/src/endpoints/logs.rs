//! `logs`: one launch's log, its end first or as it grows. A log that is followed outlives the server: it is asked for
//! again, from where it was read to, until its launch has ended.

use std::time::Duration;

use clap::Args;
use dedi_api::{EndpointEvent, LOG_MARK, List};
use tokio::time::{Instant, sleep};

use super::one::{One, path_of};
use crate::client::{Stream, encoded};
use crate::client_error::ClientError;
use crate::console::Console;
use crate::context::Context;
use crate::context::with_query;
use crate::error::{CliError, Exit, Result};

/// Flags of `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    #[command(flatten)]
    one: One,
    /// Which launch; each keeps its own log [default: the last]
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// The launch of this replica, running or ended, by its whole id
    #[arg(long, value_name = "REPLICA_ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    replica: Option<String>,
    /// Only the last lines [default: 100]
    #[arg(long, value_name = "LINES")]
    tail: Option<u32>,
    /// Go on as the log grows, until the launch ends or Ctrl-C
    #[arg(long, short)]
    follow: bool,
}

/// Events looked through for a launch, the first ones: what is launched at all is launched early.
const EVENTS_MAX: usize = 1_000;
/// Between two tries to reach the server again.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// How long the server may be away before following gives up: several times what a restart takes.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// A connection that holds for less was no return of the server.
const STEADY: Duration = Duration::from_secs(2);

pub(super) async fn logs(args: LogsArgs, context: &Context, console: &mut Console) -> Result {
    let id = args.one.id(context).await?;
    let follows = args.follow && !context.json;
    let mut query = Vec::new();
    if let Some(attempt) = args.attempt {
        query.push(format!("attempt={attempt}"));
    }
    if let Some(replica) = &args.replica {
        query.push(format!("replica={}", encoded(replica)));
    }
    if let Some(tail) = args.tail {
        query.push(format!("tail={tail}"));
    }
    if follows {
        query.push("follow=true&marks=true".to_owned());
    }
    let path = format!("{}/logs", path_of(&id));
    let stream = context.client.get_stream(&with_query(&path, &query)).await.map_err(|err| {
        let names_launch = args.attempt.is_some() || args.replica.is_some();
        let hint = (names_launch && err.is_not_found())
            .then(|| format!("`dedi endpoints events {id}` shows its launches"));
        let err = CliError::from(err);
        CliError { hint: hint.or(err.hint), ..err }
    })?;
    let interrupted = console.interrupted();
    tokio::select! {
        read = read(stream, &path, follows, context, console) => {
            let ReadToEnd { rest, attempt, is_empty } = read?;
            if context.json {
                let log = serde_json::json!({"id": id, "attempt": args.attempt, "replica": args.replica, "log": rest});
                return console.json(&log);
            }
            console.foreign(&rest)?;
            if let Some(attempt) = attempt.filter(|_| follows) {
                console.say(&format!(
                    "Attempt {attempt} has ended; `dedi endpoints logs {id} --follow` follows the next once it is launched, \
                     `dedi endpoints why {id}` says whether it will be."
                ));
            } else if is_empty && args.tail != Some(0) {
                console.say(&nothing_logged(&id, context).await);
            }
            Ok(())
        }
        () = interrupted => Err(CliError::silent(Exit::Interrupted)),
    }
}

/// Why a log has nothing in it.
async fn nothing_logged(id: &str, context: &Context) -> String {
    let path = format!("{}/events?after=0&limit={EVENTS_MAX}", path_of(id));
    match context.client.get::<List<EndpointEvent>>(&path).await {
        Ok(events) if events.data.iter().all(|it| it.replica.is_none()) => {
            format!("{id} has not been launched yet, so it has no log; `dedi endpoints why {id}` says why.")
        }
        Ok(_) | Err(_) => format!("The log is empty; `dedi endpoints events {id}` shows what happened."),
    }
}

/// What is left when a log has been read to its end.
struct ReadToEnd {
    /// Not printed yet.
    rest: String,
    /// Which launch it is of, where the server named places.
    attempt: Option<String>,
    /// Whether nothing came at all.
    is_empty: bool,
}

/// Reads to the end and prints what there is to print on the way; the rest is handed back.
async fn read(
    mut stream: Stream,
    path: &str,
    follows: bool,
    context: &Context,
    console: &mut Console,
) -> Result<ReadToEnd> {
    let mut lines = Lines::default();
    let mut opened_at = Instant::now();
    let mut away_since = None;
    let mut is_empty = true;
    loop {
        match stream.next().await {
            Ok(Some(piece)) => {
                is_empty &= piece.is_empty();
                lines.held.extend_from_slice(&piece);
                if !context.json {
                    console.foreign(&lines.take())?;
                }
            }
            Ok(None) => {
                let rest = String::from_utf8_lossy(&lines.held).into_owned();
                let attempt =
                    lines.place.as_deref().and_then(|it| it.split_once('.')).map(|it| it.0.to_owned());
                return Ok(ReadToEnd { rest, attempt, is_empty });
            }
            Err(err) => {
                let Some(place) = lines.place.clone().filter(|_| follows) else { return Err(err.into()) };
                if away_since.is_none() || opened_at.elapsed() >= STEADY {
                    away_since = Some(Instant::now());
                    console.say("the server left off; the log goes on here as soon as it answers again");
                }
                lines.forget_unmarked();
                let path = format!("{path}?follow=true&marks=true&from={}", encoded(&place));
                let since = away_since.unwrap_or(opened_at);
                stream = again(context, &path, since, err).await?;
                opened_at = Instant::now();
            }
        }
    }
}

/// Asks for the rest until there is an answer, for a while.
async fn again(context: &Context, path: &str, since: Instant, cause: ClientError) -> Result<Stream> {
    let mut err = cause;
    while err.is_passing() && since.elapsed() < AWAY_MAX {
        sleep(RETRY_DELAY).await;
        err = match context.client.get_stream(path).await {
            Ok(stream) => return Ok(stream),
            Err(err) => err,
        };
    }
    Err(err.into())
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
    fn lines_are_printed_once_their_place_is_known() {
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

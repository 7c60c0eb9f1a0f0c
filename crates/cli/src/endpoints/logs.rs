//! `logs`: one launch's log, or those of all replicas as they grow.

use std::collections::BTreeSet;

use clap::Args;
use dedi_api::{EndpointEvent, List};

use super::log::{Log, Piece, ReadToEnd};
use super::logs_of_all;
use super::one::{One, path_of};
use crate::client::encoded;
use crate::console::Console;
use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::ids::is_uuid;

/// Flags of `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    #[command(flatten)]
    one: One,
    /// Number of the launch; each has its own log [default: the last; with --follow, all running replicas]
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Id of the replica, running or ended
    #[arg(long, value_name = "REPLICA_ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    replica: Option<String>,
    /// Number of lines from the end [default: 100]
    #[arg(long, value_name = "LINES")]
    tail: Option<u32>,
    /// Keep running, and print new lines, of all replicas unless one is named
    #[arg(long, short)]
    follow: bool,
}

/// Events looked through for a launch, the first ones: what is launched at all is launched early.
const EVENTS_MAX: usize = 1_000;

pub(super) async fn logs(args: LogsArgs, context: &Context, console: &mut Console) -> Result {
    let id = args.one.id(context).await?;
    let path = format!("{}/logs", path_of(&id));
    let interrupted = console.interrupted();
    tokio::select! {
        ended = print(&args, &id, &path, context, console) => ended,
        () = interrupted => Err(CliError::silent(Exit::Interrupted)),
    }
}

async fn print(args: &LogsArgs, id: &str, path: &str, context: &Context, console: &mut Console) -> Result {
    let follows = args.follow && !context.is_data();
    let names_launch = args.attempt.is_some() || args.replica.is_some();
    if follows && !names_launch && logs_of_all::follow(id, path, args.tail, context, console).await? {
        return Ok(());
    }
    let replica = match &args.replica {
        Some(text) => Some(whole_replica(id, text, context).await?),
        None => None,
    };
    let mut query = Vec::new();
    if let Some(attempt) = args.attempt {
        query.push(format!("attempt={attempt}"));
    }
    if let Some(replica) = &replica {
        query.push(format!("replica={}", encoded(replica)));
    }
    if let Some(tail) = args.tail {
        query.push(format!("tail={tail}"));
    }
    let log = Log::open(path, query, follows, context).await.map_err(|err| {
        let hint = (names_launch && err.is_not_found())
            .then(|| format!("list its launches with `dedi endpoints events {id}`"));
        let err = CliError::from(err);
        CliError { hint: hint.or(err.hint), ..err }
    })?;
    let ReadToEnd { rest, attempt, is_empty } = print_whole(log, context, console).await?;
    if context.is_data() {
        let log = serde_json::json!({"id": id, "attempt": args.attempt, "replica": replica, "log": rest});
        return context.print_data(console, &log, [id]);
    }
    console.foreign(&rest)?;
    if let Some(attempt) = attempt.filter(|_| follows) {
        console.say(&format!(
            "Attempt {attempt} has ended. Follow the next one with `dedi endpoints logs {id} --follow` once it is \
             launched; see whether it will be with `dedi endpoints why {id}`."
        ));
    } else if is_empty && args.tail != Some(0) {
        console.say(&nothing_logged(id, context).await);
    }
    Ok(())
}

/// Prints as it comes, unless the log is printed as data; what is not printed yet is handed back.
async fn print_whole(mut log: Log<'_>, context: &Context, console: &mut Console) -> Result<ReadToEnd> {
    let mut whole = String::new();
    loop {
        match log.next().await? {
            Piece::Text(text) if context.is_data() => whole.push_str(&text),
            Piece::Text(text) => console.foreign(&text)?,
            Piece::Notice(notice) => console.say(notice),
            Piece::End(end) => return Ok(ReadToEnd { rest: whole + &end.rest, ..end }),
        }
    }
}

/// The whole id of a replica that is named as tables on narrow terminals name it; any other text as it is.
async fn whole_replica(id: &str, text: &str, context: &Context) -> Result<String> {
    let digits = text.strip_prefix("replica-").unwrap_or_default();
    if digits.len() < 8 || is_uuid(digits) || !digits.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-') {
        return Ok(text.to_owned());
    }
    let path = format!("{}/events?after=0&limit={EVENTS_MAX}", path_of(id));
    let events: List<EndpointEvent> = context.client.get(&path).await?;
    let named: BTreeSet<String> =
        events.data.into_iter().filter_map(|it| it.replica).filter(|it| it.starts_with(text)).collect();
    let mut named = named.into_iter();
    Ok(match (named.next(), named.next()) {
        (Some(one), None) => one,
        (Some(_), Some(_)) | (None, _) => text.to_owned(),
    })
}

/// Why a log has nothing in it.
async fn nothing_logged(id: &str, context: &Context) -> String {
    let path = format!("{}/events?after=0&limit={EVENTS_MAX}", path_of(id));
    match context.client.get::<List<EndpointEvent>>(&path).await {
        Ok(events) if events.data.iter().all(|it| it.replica.is_none()) => {
            format!(
                "{id} has not been launched yet, so it has no log; see why with `dedi endpoints why {id}`."
            )
        }
        Ok(_) | Err(_) => format!("The log is empty; see what happened with `dedi endpoints events {id}`."),
    }
}

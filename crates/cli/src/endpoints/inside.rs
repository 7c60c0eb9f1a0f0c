//! `events`, `logs`, `replicas`: what goes on inside one endpoint.

use clap::Args;
use dedi_api::{EndpointEvent, List, ReplicaInfo};

use super::{One, path_of};
use crate::Context;
use crate::client::encoded;
use crate::console::Console;
use crate::error::{CliError, Exit, Result};
use crate::render;
use crate::resolve::{Match, resolve};
use crate::with_query;

/// Flags of `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    #[command(flatten)]
    one: One,
    /// Only events after this one
    #[arg(long, value_name = "EVENT_ID")]
    after: Option<i64>,
}

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

/// Events asked for at once; the most that the server gives.
const EVENTS_PER_PAGE: usize = 1_000;

pub(super) async fn events(args: EventsArgs, context: &Context, console: &mut Console) -> Result {
    let id = resolve(&context.client, &args.one.endpoint, Match::Beginning).await?;
    let mut after = args.after.unwrap_or(0);
    let mut events: Vec<EndpointEvent> = Vec::new();
    loop {
        let path = format!("{}/events?after={after}&limit={EVENTS_PER_PAGE}", path_of(&id));
        let page: List<EndpointEvent> = context.client.get(&path).await?;
        let Some(last) = page.data.last().map(|it| it.id) else { break };
        let is_full = page.data.len() >= EVENTS_PER_PAGE;
        events.extend(page.data);
        // A server that ignores `after` would give the same page for ever.
        if !is_full || last <= after {
            break;
        }
        after = last;
    }
    if context.json { console.json(&events) } else { console.data(&render::events(&events)) }
}

pub(super) async fn logs(args: LogsArgs, context: &Context, console: &mut Console) -> Result {
    let id = resolve(&context.client, &args.one.endpoint, Match::Beginning).await?;
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
    if args.follow && !context.json {
        query.push("follow=true".to_owned());
    }
    let path = with_query(&format!("{}/logs", path_of(&id)), &query);
    let mut stream = context.client.get_stream(&path).await.map_err(|err| {
        let names_launch = args.attempt.is_some() || args.replica.is_some();
        let hint = (names_launch && err.is_not_found())
            .then(|| format!("`dedi endpoints events {id}` shows its launches"));
        let err = CliError::from(err);
        CliError { hint: hint.or(err.hint), ..err }
    })?;
    let mut log = Vec::new();
    let interrupted = console.interrupted();
    tokio::pin!(interrupted);
    loop {
        let piece = tokio::select! {
            piece = stream.next() => piece?,
            () = &mut interrupted => return Err(CliError::silent(Exit::Interrupted)),
        };
        let Some(piece) = piece else { break };
        log.extend_from_slice(&piece);
        if !context.json {
            // Whole lines only, so that no character is cut in two.
            let end = log.iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1);
            let lines: Vec<u8> = log.drain(..end).collect();
            console.foreign(&String::from_utf8_lossy(&lines))?;
        }
    }
    let rest = String::from_utf8_lossy(&log);
    if context.json {
        return console.json(
            &serde_json::json!({"id": id, "attempt": args.attempt, "replica": args.replica, "log": rest}),
        );
    }
    console.foreign(&rest)
}

pub(super) async fn replicas(one: One, context: &Context, console: &mut Console) -> Result {
    let id = resolve(&context.client, &one.endpoint, Match::Beginning).await?;
    let list: List<ReplicaInfo> = context.client.get(&format!("{}/replicas", path_of(&id))).await?;
    if context.json {
        return console.json(&list.data);
    }
    if list.data.is_empty() {
        console.say(&format!("{id} has no replicas; `dedi endpoints why {id}` says why."));
        return Ok(());
    }
    console.data(&render::replicas(&list.data))
}

//! `describe`, `events`, `replicas`: what goes on inside one endpoint.

use std::time::Duration;

use clap::Args;
use dedi_api::{DedicatedEndpoint, EndpointEvent, List, ReplicaInfo};
use serde::Serialize;
use tokio::time::sleep;

use super::one::{One, path_of};
use crate::client_error::ClientError;
use crate::console::Console;
use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::patience::Patience;
use crate::render;

/// Flags of `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    #[command(flatten)]
    one: One,
    /// Show events after this one, by its id in the first column
    #[arg(long, value_name = "EVENT_ID")]
    after: Option<i64>,
    /// Keep running, and print new events as they happen
    #[arg(long, short)]
    follow: bool,
}

/// Events asked for at once; the most that the server gives.
const EVENTS_PER_PAGE: usize = 1_000;
/// Events that `describe` shows.
const LAST_EVENTS: usize = 10;
/// Between two looks for new events.
const POLL: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Description<'a> {
    endpoint: &'a DedicatedEndpoint,
    events: &'a [EndpointEvent],
}

pub(super) async fn describe(one: One, context: &Context, console: &mut Console) -> Result {
    let id = one.id(context).await?;
    let endpoint: DedicatedEndpoint = context.client.get(&path_of(&id)).await?;
    let events = events_after(&id, 0, context).await?;
    let last = events.get(events.len().saturating_sub(LAST_EVENTS)..).unwrap_or_default();
    let whole = Description { endpoint: &endpoint, events: last };
    context.print(console, &whole, [&id], |it, view| render::describe(it.endpoint, it.events, view))
}

pub(super) async fn events(args: EventsArgs, context: &Context, console: &mut Console) -> Result {
    let id = args.one.id(context).await?;
    let after = args.after.unwrap_or(0);
    if args.follow {
        let interrupted = console.interrupted();
        return tokio::select! {
            ended = follow(&id, after, context, console) => ended,
            () = interrupted => Err(CliError::silent(Exit::Interrupted)),
        };
    }
    let events = events_after(&id, after, context).await?;
    if events.is_empty() && context.is_text() {
        console.say("No events.");
        return Ok(());
    }
    let ids: Vec<String> = events.iter().map(|it| it.id.to_string()).collect();
    context.print(console, &events, ids, |it, view| render::events(it, view))
}

async fn events_after(
    id: &str,
    mut after: i64,
    context: &Context,
) -> std::result::Result<Vec<EndpointEvent>, ClientError> {
    let mut events: Vec<EndpointEvent> = Vec::new();
    loop {
        let path = format!("{}/events?after={after}&limit={EVENTS_PER_PAGE}", path_of(id));
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
    Ok(events)
}

/// Events as they happen, until the endpoint is deleted. The server may be restarted meanwhile.
async fn follow(id: &str, mut after: i64, context: &Context, console: &mut Console) -> Result {
    let mut patience = Patience::new();
    let mut has_begun = false;
    loop {
        match events_after(id, after, context).await {
            Ok(events) => {
                patience.answered();
                has_begun = true;
                for it in events.iter().filter(|it| it.id > after) {
                    if context.is_text() {
                        console.data(&render::event_line(it))?;
                    } else {
                        context.print_next(console, it, &it.id.to_string())?;
                    }
                }
                after = events.iter().map(|it| it.id).fold(after, i64::max);
            }
            Err(err) if err.is_not_found() && has_begun => {
                console.say(&format!("{id} was deleted."));
                return Ok(());
            }
            Err(err) => patience.bear(err, console)?,
        }
        sleep(POLL).await;
    }
}

pub(super) async fn replicas(one: One, context: &Context, console: &mut Console) -> Result {
    let id = one.id(context).await?;
    let list: List<ReplicaInfo> = context.client.get(&format!("{}/replicas", path_of(&id))).await?;
    if list.data.is_empty() && context.is_text() {
        console.say(&format!("{id} has no replicas; see why with `dedi endpoints why {id}`."));
        return Ok(());
    }
    let ids: Vec<&str> = list.data.iter().map(|it| it.id.as_str()).collect();
    context.print(console, &list.data, ids, |it, view| render::replicas(it, view))
}

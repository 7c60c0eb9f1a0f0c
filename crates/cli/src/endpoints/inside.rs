//! `events`, `replicas`: what goes on inside one endpoint.

use clap::Args;
use dedi_api::{EndpointEvent, List, ReplicaInfo};

use super::one::{One, path_of};
use crate::console::Console;
use crate::context::Context;
use crate::error::Result;
use crate::render;

/// Flags of `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    #[command(flatten)]
    one: One,
    /// Only events after this one, by the number at the start of its line
    #[arg(long, value_name = "EVENT_ID")]
    after: Option<i64>,
}

/// Events asked for at once; the most that the server gives.
const EVENTS_PER_PAGE: usize = 1_000;

pub(super) async fn events(args: EventsArgs, context: &Context, console: &mut Console) -> Result {
    let id = args.one.id(context).await?;
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

pub(super) async fn replicas(one: One, context: &Context, console: &mut Console) -> Result {
    let id = one.id(context).await?;
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

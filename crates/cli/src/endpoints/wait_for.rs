//! `wait`: waits for an endpoint and changes nothing.

use std::time::Duration;

use clap::Args;

use super::one::One;
use crate::console::Console;
use crate::context::Context;
use crate::durations;
use crate::error::Result;
use crate::wait::{self, Goal};

/// Flags of `wait`.
#[derive(Debug, Args)]
pub struct WaitForArgs {
    #[command(flatten)]
    one: One,
    /// State to wait for: state=STARTED, state=STOPPED or deleted
    #[arg(long = "for", value_name = "CONDITION", default_value = "state=STARTED")]
    goal: Goal,
    /// Maximum time to wait, such as 30s, 5m or 2h; a plain number is seconds [default: 1h]
    // The same id as the timeout of requests: here it limits both.
    #[arg(long, value_name = "DURATION", value_parser = durations::seconds)]
    timeout: Option<u64>,
}

/// Longest wait where none is given.
const WAIT_SECS: u64 = 3_600;

pub(super) async fn wait_for(args: WaitForArgs, context: &Context, console: &mut Console) -> Result {
    let id = args.one.id(context).await?;
    let limit = Duration::from_secs(args.timeout.unwrap_or(WAIT_SECS));
    match wait::until(&context.client, console, &id, args.goal, limit).await? {
        Some(endpoint) => {
            console.say(&format!("{id} is {}.", endpoint.state));
            context.print_data(console, &endpoint, [&id])
        }
        None => {
            console.say(&format!("{id} is deleted."));
            context.print_data(console, &serde_json::json!({"id": id, "deleted": true}), [&id])
        }
    }
}

//! `dedi usage`: how long endpoints ran, and what that costs.

use clap::Args;
use dedi_api::UsageReport;

use crate::client::encoded;
use crate::console::Console;
use crate::context::Context;
use crate::error::Result;
use crate::render;
use crate::resolve::{names_of, resolve_or_gone};

/// Whose usage, and when.
#[derive(Debug, Args)]
pub struct UsageArgs {
    /// First moment or day, as 2026-11-21T07:00:00Z or 2026-11-21, UTC [default: 30 days before the end]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// First moment or day that does not count any more [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only this endpoint, as in every other command; one that was deleted by its id or name
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: Option<String>,
}

pub(crate) async fn run(args: UsageArgs, context: &Context, console: &mut Console) -> Result {
    let endpoint = match &args.endpoint {
        Some(text) => Some(resolve_or_gone(&context.client, text).await?),
        None => None,
    };
    let named = [("from", args.from), ("to", args.to), ("endpoint", endpoint)];
    let query: Vec<String> = named
        .into_iter()
        .filter_map(|(name, value)| value.map(|it| format!("{name}={}", encoded(&it))))
        .collect();
    let report: UsageReport = context.client.get(&crate::context::with_query("/usage", &query)).await?;
    if context.json {
        return console.json(&report);
    }
    let period = format!("from {} to {}", render::moment(&report.from), render::moment(&report.to));
    if report.data.is_empty() {
        console.say(&format!("Nothing ran {period}."));
        return Ok(());
    }
    console.say(&format!("What ran {period}:"));
    let ids = report.data.iter().map(|it| it.endpoint.as_str()).collect();
    let names = names_of(&context.client, ids).await?;
    console.data(&render::usage(&report, &names))
}

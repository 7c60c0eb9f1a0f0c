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
    /// Start of the period, as 2026-11-21T07:00:00Z or 2026-11-21, UTC [default: 30 days before its end]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End of the period (exclusive) [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Show this endpoint only; a deleted one by its whole id or name
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
    if !context.is_text() {
        let ids: Vec<&str> = report.data.iter().map(|it| it.endpoint.as_str()).collect();
        return context.print_data(console, &report, ids);
    }
    let period = format!("from {} to {}", render::moment(&report.from), render::moment(&report.to));
    if report.data.is_empty() {
        console.say(&format!("No usage {period}."));
        return Ok(());
    }
    console.say(&format!("Usage {period}:"));
    let ids = report.data.iter().map(|it| it.endpoint.as_str()).collect();
    let names = names_of(&context.client, ids).await?;
    let text = render::usage(&report, &names, &context.view(console));
    console.data(&text)
}

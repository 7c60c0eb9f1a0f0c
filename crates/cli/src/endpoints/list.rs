//! `list`, `hardware`, `availability-zones`: what there is, in rows.

use clap::Args;
use dedi_api::{AvailabilityZones, Hardware, List, ListEndpoint};

use crate::Context;
use crate::client::encoded;
use crate::console::Console;
use crate::error::Result;
use crate::render;
use crate::with_query;

/// Filters of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only endpoints of the key's own account
    #[arg(long)]
    mine: bool,
    /// Only this type: dedicated or serverless
    #[arg(long = "type", value_name = "TYPE", value_parser = ["dedicated", "serverless"])]
    kind: Option<String>,
    /// Only this usage type: on-demand or reserved
    #[arg(long, value_name = "TYPE", value_parser = ["on-demand", "reserved"])]
    usage_type: Option<String>,
}

/// Filters of `hardware`.
#[derive(Debug, Args)]
pub struct HardwareArgs {
    /// Only what this model fits on
    #[arg(long)]
    model: Option<String>,
    /// Only what is available now
    #[arg(long, requires = "model")]
    available: bool,
}

pub(super) async fn list(args: ListArgs, context: &Context, console: &mut Console) -> Result {
    let mut query = Vec::new();
    if args.mine {
        query.push("mine=true".to_owned());
    }
    if let Some(kind) = &args.kind {
        query.push(format!("type={}", encoded(kind)));
    }
    if let Some(usage_type) = &args.usage_type {
        query.push(format!("usage_type={}", encoded(usage_type)));
    }
    let path = with_query("/endpoints", &query);
    let list: List<ListEndpoint> = context.client.get(&path).await?;
    if context.json {
        return console.json(&list.data);
    }
    if list.data.is_empty() {
        console.say("No endpoints. Make one with `dedi endpoints create --model MODEL --hardware HARDWARE`.");
        return Ok(());
    }
    let text = render::endpoints(&list.data, console.colours());
    console.data(&text)
}

pub(super) async fn hardware(args: HardwareArgs, context: &Context, console: &mut Console) -> Result {
    let query: Vec<String> = args.model.iter().map(|it| format!("model={}", encoded(it))).collect();
    let mut list: List<Hardware> = context.client.get(&with_query("/hardware", &query)).await?;
    if args.available {
        list.data.retain(|it| it.availability.as_ref().is_some_and(|it| it.status == "available"));
    }
    if context.json {
        return console.json(&list.data);
    }
    if list.data.is_empty() {
        match (&args.model, args.available) {
            (Some(model), true) => console.say(&format!("Nothing that {model} fits on is free now.")),
            (Some(model), false) => console.say(&format!("{model} fits on none of this host's hardware.")),
            (None, _) => console.say("The server found no hardware; `dedi doctor` checks the host."),
        }
        return Ok(());
    }
    console.data(&render::hardware(&list.data))
}

pub(super) async fn zones(context: &Context, console: &mut Console) -> Result {
    let mut zones: AvailabilityZones = context.client.get("/clusters/availability-zones").await?;
    zones.avzones.sort();
    if context.json {
        return console.json(&zones);
    }
    let lines: String =
        zones.avzones.iter().map(|it| format!("{}\n", crate::console::harmless(it))).collect();
    console.data(&lines)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::endpoints::tests::Program;

    #[test]
    fn available_needs_a_model() {
        assert!(Program::try_parse_from(["dedi", "hardware", "--available"]).is_err());
        assert!(Program::try_parse_from(["dedi", "hardware", "--model", "m", "--available"]).is_ok());
    }
}

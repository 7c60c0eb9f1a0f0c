//! `list`, `hardware`, `availability-zones`: what there is, in rows.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use dedi_api::{AvailabilityZones, Hardware, List};

use crate::client::encoded;
use crate::client_error::ClientError;
use crate::console::Console;
use crate::context::Context;
use crate::context::with_query;
use crate::error::{CliError, Result};
use crate::render;
use crate::resolve::{Item, LOOK_UPS_MAX, add_names};

use super::watch::{self, NONE, sort};

/// Filters of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Show endpoints of the key's own account only
    #[arg(long)]
    mine: bool,
    /// Show this type only
    #[arg(long = "type", value_name = "TYPE", value_parser = ["dedicated", "serverless"])]
    kind: Option<String>,
    /// Show this usage type only
    #[arg(long, value_name = "TYPE", value_parser = ["on-demand", "reserved"])]
    usage_type: Option<String>,
    /// Keep running, and print each endpoint that changes
    #[arg(long, short)]
    watch: bool,
}

/// Filters of `hardware`.
#[derive(Debug, Args)]
pub struct HardwareArgs {
    /// Show hardware that fits this model only
    #[arg(long)]
    model: Option<String>,
    /// Show hardware that is available now for the model only; needs --model
    #[arg(long)]
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
    if args.watch {
        return watch::endpoints(&path, context, console).await;
    }
    let mut list: List<Item> = context.client.get(&path).await?;
    if !context.is_text() {
        let ids: Vec<&str> = list.data.iter().map(|it| it.listed.id.as_str()).collect();
        return context.print_data(console, &list.data, ids);
    }
    sort(&mut list.data);
    add_names(&context.client, &mut list.data).await?;
    if list.data.is_empty() {
        console.say(NONE);
        return Ok(());
    }
    if list.data.len() > LOOK_UPS_MAX {
        console.say(&format!("Display names are shown for the newest {LOOK_UPS_MAX} only."));
    }
    let view = context.view(console);
    console.data(&render::endpoints(&list.data, &view).render(&view))
}

pub(super) async fn hardware(args: HardwareArgs, context: &Context, console: &mut Console) -> Result {
    if args.available && args.model.is_none() {
        return Err(CliError::usage(
            "--available needs --model MODEL: availability depends on the model",
            "without it, `dedi endpoints hardware` shows free devices in FREE",
        ));
    }
    let query: Vec<String> = args.model.iter().map(|it| format!("model={}", encoded(it))).collect();
    let mut list: List<Hardware> = context.client.get(&with_query("/hardware", &query)).await?;
    if args.available {
        list.data.retain(|it| it.availability.as_ref().is_some_and(|it| it.status == "available"));
    }
    if !context.is_text() {
        let ids: Vec<&str> = list.data.iter().map(|it| it.id.as_str()).collect();
        return context.print_data(console, &list.data, ids);
    }
    if list.data.is_empty() {
        match (&args.model, args.available) {
            (Some(model), true) => console.say(&format!("No hardware that fits {model} is free now.")),
            (Some(model), false) => console.say(&format!("{model} fits no hardware of this host.")),
            (None, _) => console.say("The server found no hardware; check the host with `dedi doctor`."),
        }
        return Ok(());
    }
    name_users(&mut list.data, context).await?;
    let text = render::hardware(&list.data, &context.view(console));
    console.data(&text)?;
    for line in render::unusable(&list.data) {
        console.say(&line);
    }
    Ok(())
}

/// Adds the display names to the endpoints that use devices, as those are what people call them.
async fn name_users(list: &mut [Hardware], context: &Context) -> Result {
    let used_by = |it: &Hardware| it.usage.as_ref().map(|it| it.used_by.clone()).unwrap_or_default();
    let users: BTreeSet<String> = list.iter().flat_map(used_by).collect();
    if users.is_empty() {
        return Ok(());
    }
    let mut items = match context.client.get::<List<Item>>("/endpoints").await {
        Ok(items) => items.data,
        Err(ClientError::Refused { .. }) => return Ok(()),
        Err(err) => return Err(err.into()),
    };
    items.retain(|it| users.contains(&it.listed.name));
    add_names(&context.client, &mut items).await?;
    let names: BTreeMap<&str, &str> = items
        .iter()
        .filter_map(|it| Some((it.listed.name.as_str(), it.display_name.as_deref()?)))
        .filter(|(name, display_name)| !name.ends_with(display_name))
        .collect();
    for user in list.iter_mut().filter_map(|it| it.usage.as_mut()).flat_map(|it| &mut it.used_by) {
        if let Some(name) = names.get(user.as_str()) {
            *user = format!("{user} ({name})");
        }
    }
    Ok(())
}

pub(super) async fn zones(context: &Context, console: &mut Console) -> Result {
    let mut zones: AvailabilityZones = context.client.get("/clusters/availability-zones").await?;
    zones.avzones.sort();
    context.print(console, &zones, &zones.avzones, |zones, _| {
        zones.avzones.iter().map(|it| format!("{}\n", crate::console::harmless(it))).collect()
    })
}

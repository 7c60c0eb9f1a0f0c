//! `dedi endpoints …`: the reference page's commands and flags, and what dedi adds to them.

mod change;
mod create;
mod inside;
mod list;
mod logs;
mod one;

use clap::Subcommand;
use dedi_api::DedicatedEndpoint;

use self::change::{DeleteArgs, SwitchArgs, UpdateArgs, delete, switch, update};
use self::create::{CreateArgs, create};
use self::inside::{EventsArgs, events, replicas};
use self::list::{HardwareArgs, ListArgs, hardware, list, zones};
use self::logs::{LogsArgs, logs};
use self::one::{One, path_of, show};
use crate::console::Console;
use crate::context::Context;
use crate::error::Result;
use crate::render;
use crate::wait::Goal;

/// What can be done with endpoints.
#[derive(Debug, Subcommand)]
pub enum EndpointsCommand {
    /// Deploy a model on hardware of its own
    Create(CreateArgs),
    /// Show one endpoint
    #[command(visible_alias = "get")]
    Retrieve(One),
    /// List endpoints, newest first
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Change name, replica bounds or auto-stop
    Update(UpdateArgs),
    /// Start a stopped or failed endpoint
    Start(SwitchArgs),
    /// Stop an endpoint and free its hardware; its configuration stays
    Stop(SwitchArgs),
    /// Delete an endpoint for good
    #[command(visible_alias = "rm")]
    Delete(DeleteArgs),
    /// List hardware: what there is, what is free, who uses the rest
    Hardware(HardwareArgs),
    /// List availability zones
    AvailabilityZones,
    /// Say why an endpoint is in its state and what would help
    Why(One),
    /// Show what happened to an endpoint
    Events(EventsArgs),
    /// Show the log of an endpoint's engine
    Logs(LogsArgs),
    /// Show an endpoint's replicas
    Replicas(One),
}

pub(crate) async fn run(command: EndpointsCommand, context: &Context, console: &mut Console) -> Result {
    match command {
        EndpointsCommand::Create(args) => create(args, context, console).await,
        EndpointsCommand::Retrieve(one) => {
            let endpoint = fetch(context, &one).await?;
            show(context, console, &endpoint)
        }
        EndpointsCommand::List(args) => list(args, context, console).await,
        EndpointsCommand::Update(args) => update(args, context, console).await,
        EndpointsCommand::Start(args) => switch(args, Goal::Started, context, console).await,
        EndpointsCommand::Stop(args) => switch(args, Goal::Stopped, context, console).await,
        EndpointsCommand::Delete(args) => delete(args, context, console).await,
        EndpointsCommand::Hardware(args) => hardware(args, context, console).await,
        EndpointsCommand::AvailabilityZones => zones(context, console).await,
        EndpointsCommand::Why(one) => {
            let endpoint = fetch(context, &one).await?;
            if context.json {
                return console.json(&endpoint.status);
            }
            let text = render::why(&endpoint, console.colours());
            console.data(&text)
        }
        EndpointsCommand::Events(args) => events(args, context, console).await,
        EndpointsCommand::Logs(args) => logs(args, context, console).await,
        EndpointsCommand::Replicas(one) => replicas(one, context, console).await,
    }
}

async fn fetch(context: &Context, one: &One) -> Result<DedicatedEndpoint> {
    let id = one.id(context).await?;
    Ok(context.client.get(&path_of(&id)).await?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    pub(super) struct Program {
        #[command(subcommand)]
        pub(super) command: EndpointsCommand,
    }

    #[test]
    fn the_reference_names_and_their_aliases_parse() {
        for line in [
            "get e",
            "retrieve e",
            "ls --mine",
            "list --type dedicated",
            "rm e",
            "delete e",
            "availability-zones",
        ] {
            assert!(Program::try_parse_from(["dedi"].into_iter().chain(line.split(' '))).is_ok(), "{line}");
        }
    }
}

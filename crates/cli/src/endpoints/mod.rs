//! `dedi endpoints …`: the reference page's commands and flags, and what dedi adds to them.

mod change;
mod create;
mod inside;
mod list;
mod log;
mod logs;
mod logs_of_all;
mod one;
mod wait_for;
mod watch;

use clap::Subcommand;
use dedi_api::DedicatedEndpoint;

use self::change::{DeleteArgs, SwitchArgs, UpdateArgs, delete, switch, update};
use self::create::{CreateArgs, create};
use self::inside::{EventsArgs, describe, events, replicas};
use self::list::{HardwareArgs, ListArgs, hardware, list, zones};
use self::logs::{LogsArgs, logs};
use self::one::{One, path_of, show};
use self::wait_for::{WaitForArgs, wait_for};
use crate::console::Console;
use crate::context::Context;
use crate::error::Result;
use crate::render;
use crate::wait::Goal;

/// What can be done with endpoints.
#[derive(Debug, Subcommand)]
pub enum EndpointsCommand {
    /// Deploy a model on dedicated hardware
    Create(CreateArgs),
    /// Show an endpoint
    #[command(visible_alias = "get")]
    Retrieve(One),
    /// Show an endpoint, why it is in its state, its replicas and its last events
    #[command(alias = "inspect")]
    Describe(One),
    /// List endpoints, newest first
    #[command(visible_alias = "ls", alias = "ps")]
    List(ListArgs),
    /// Change the display name, replica bounds or auto-stop
    Update(UpdateArgs),
    /// Start a stopped or failed endpoint
    Start(SwitchArgs),
    /// Stop an endpoint and free its hardware; its configuration is kept
    Stop(SwitchArgs),
    /// Wait until an endpoint is started, stopped or deleted
    Wait(WaitForArgs),
    /// Delete an endpoint permanently
    #[command(visible_alias = "rm", alias = "remove")]
    Delete(DeleteArgs),
    /// List hardware, what is free, and who uses the rest
    Hardware(HardwareArgs),
    /// List availability zones
    AvailabilityZones,
    /// Explain why an endpoint is in its state, and what would help
    #[command(alias = "status")]
    Why(One),
    /// Show the events of an endpoint
    Events(EventsArgs),
    /// Show the engine log of an endpoint
    #[command(alias = "log")]
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
        EndpointsCommand::Describe(one) => describe(one, context, console).await,
        EndpointsCommand::List(args) => list(args, context, console).await,
        EndpointsCommand::Update(args) => update(args, context, console).await,
        EndpointsCommand::Start(args) => switch(args, Goal::Started, context, console).await,
        EndpointsCommand::Stop(args) => switch(args, Goal::Stopped, context, console).await,
        EndpointsCommand::Wait(args) => wait_for(args, context, console).await,
        EndpointsCommand::Delete(args) => delete(args, context, console).await,
        EndpointsCommand::Hardware(args) => hardware(args, context, console).await,
        EndpointsCommand::AvailabilityZones => zones(context, console).await,
        EndpointsCommand::Why(one) => {
            let endpoint = fetch(context, &one).await?;
            context.print(console, &endpoint.status, [&endpoint.id], |_, view| render::why(&endpoint, view))
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
            "describe e",
            "ps",
            "wait e --for deleted --timeout 5m",
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

//! `update`, `start`, `stop`, `delete`: one request each that changes an endpoint which is there.

use clap::Args;
use dedi_api::{AutoscalingRequest, DedicatedEndpoint, UpdateEndpointRequest};

use super::create::check_bounds;
use super::one::{One, WaitArgs, path_of, show};
use crate::console::Console;
use crate::context::Context;
use crate::durations;
use crate::error::{CliError, Result};
use crate::input;
use crate::resolve::{Match, resolve};
use crate::wait::{self, Goal};

/// Flags of `update`.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    #[command(flatten)]
    one: One,
    /// Minimum replicas; 0 = scale to zero
    #[arg(long, value_name = "N")]
    min_replicas: Option<u32>,
    /// Maximum replicas
    #[arg(long, value_name = "N")]
    max_replicas: Option<u32>,
    /// Display name
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Stop after this time without requests, such as 30m or 2h; a plain number is minutes, 0 = never
    #[arg(long, value_name = "DURATION", value_parser = durations::minutes)]
    inactive_timeout: Option<u32>,
}

/// Flags of `start` and `stop`.
#[derive(Debug, Args)]
pub struct SwitchArgs {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Which endpoint to delete.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Id, name or display name (no prefix matching)
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// Don't ask for confirmation
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn update(args: UpdateArgs, context: &Context, console: &mut Console) -> Result {
    let request = update_request(&args)?;
    let path = path_of(&args.one.id(context).await?);
    let endpoint: DedicatedEndpoint = context.client.patch(&path, &request).await?;
    console.say(&format!("Updated {}.", endpoint.id));
    show(context, console, &endpoint)
}

fn update_request(args: &UpdateArgs) -> Result<UpdateEndpointRequest> {
    check_bounds(args.min_replicas, args.max_replicas)?;
    let autoscaling =
        (args.min_replicas.is_some() || args.max_replicas.is_some()).then(|| AutoscalingRequest {
            min_replicas: args.min_replicas.map(i64::from),
            max_replicas: args.max_replicas.map(i64::from),
        });
    let request = UpdateEndpointRequest {
        display_name: args.display_name.clone(),
        autoscaling,
        inactive_timeout: args.inactive_timeout.map(|minutes| Some(minutes.into())),
        ..UpdateEndpointRequest::default()
    };
    if request == UpdateEndpointRequest::default() {
        return Err(CliError::usage(
            "nothing to change",
            "pass --min-replicas, --max-replicas, --display-name or --inactive-timeout",
        ));
    }
    Ok(request)
}

pub(super) async fn switch(args: SwitchArgs, goal: Goal, context: &Context, console: &mut Console) -> Result {
    let id = args.one.id(context).await?;
    let (state, doing) = match goal {
        Goal::Started => ("STARTED", "starting"),
        Goal::Stopped | Goal::Deleted => ("STOPPED", "stopping"),
    };
    let request = UpdateEndpointRequest { state: Some(state.to_owned()), ..UpdateEndpointRequest::default() };
    let mut endpoint: DedicatedEndpoint = context.client.patch(&path_of(&id), &request).await?;
    let mut said =
        if endpoint.state == state { format!("{id} is {state}.") } else { format!("{id} is {doing}.") };
    if args.wait.wait && endpoint.state != state {
        console.say(&said);
        let seen = wait::until(&context.client, console, &id, goal, args.wait.limit()).await?;
        endpoint = seen.unwrap_or(endpoint);
        said = format!("{id} is {state}.");
    }
    console.say(&said);
    show(context, console, &endpoint)
}

pub(super) async fn delete(args: DeleteArgs, context: &Context, console: &mut Console) -> Result {
    let id = resolve(&context.client, &args.endpoint, Match::Whole).await?;
    if !args.yes && input::can_ask(console) {
        let it: DedicatedEndpoint = context.client.get(&path_of(&id)).await?;
        let question = format!("Delete endpoint {} ({}, {})?", it.display_name, it.name, it.state);
        input::confirm(&question, console).await?;
    }
    context.client.delete(&path_of(&id)).await?;
    console.say(&format!("Deleted {id}."));
    let deleted = serde_json::json!({"id": id, "message": "Successfully deleted endpoint"});
    context.print_data(console, &deleted, [&id])
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::endpoints::EndpointsCommand;
    use crate::endpoints::tests::Program;

    #[test]
    fn update_without_changes_is_refused_before_any_request() {
        let parse = |line: &str| {
            let args = ["dedi", "update", "e"].into_iter().chain(line.split_whitespace());
            let EndpointsCommand::Update(args) = Program::try_parse_from(args).unwrap().command else {
                panic!("not an update")
            };
            update_request(&args).map(|it| serde_json::to_string(&it).unwrap()).map_err(|it| it.message)
        };
        assert_eq!(parse(""), Err("nothing to change".to_owned()));
        assert_eq!(parse("--min-replicas 2").unwrap(), r#"{"autoscaling":{"min_replicas":2}}"#);
        assert_eq!(parse("--inactive-timeout 0").unwrap(), r#"{"inactive_timeout":0}"#);
    }
}

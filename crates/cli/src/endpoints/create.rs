//! `create`: from flags to the body of a create, or to a plan that changes nothing.

use clap::Args;
use dedi_api::{AutoscalingRequest, CreateEndpointRequest, DedicatedEndpoint, EndpointPlan};

use super::one::{WaitArgs, show};
use crate::console::Console;
use crate::context::Context;
use crate::durations;
use crate::error::{CliError, Exit, Result};
use crate::render;
use crate::wait::{self, Goal};

/// Flags of `create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Model to deploy, such as dedi/demo
    #[arg(long)]
    model: String,
    /// Hardware of each replica, such as 1x_cpu_8gb; `dedi endpoints hardware --model MODEL` lists what fits
    #[arg(long)]
    hardware: String,
    /// Minimum replicas; 0 = scale to zero [default: 1]
    #[arg(long, value_name = "N")]
    min_replicas: Option<u32>,
    /// Maximum replicas under load [default: the minimum, at least 1]
    #[arg(long, value_name = "N")]
    max_replicas: Option<u32>,
    /// Display name
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Create the endpoint stopped
    #[arg(long)]
    no_auto_start: bool,
    /// Disable speculative decoding, for steadier latency
    #[arg(long)]
    no_speculative_decoding: bool,
    /// Accepted, without effect
    #[arg(long, hide = true)]
    no_prompt_cache: bool,
    /// Availability zone
    #[arg(long, value_name = "ZONE")]
    availability_zone: Option<String>,
    /// Stop after this time without requests, such as 30m or 2h; a plain number is minutes, 0 = never [default: set by the server, 60m]
    #[arg(long, value_name = "DURATION", value_parser = durations::minutes)]
    inactive_timeout: Option<u32>,
    /// Show whether it fits, with the memory it needs, and create nothing; exits with 1 if it does not fit
    #[arg(long, conflicts_with = "wait")]
    plan: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) async fn create(args: CreateArgs, context: &Context, console: &mut Console) -> Result {
    let (wait, plan) = (args.wait.wait, args.plan);
    let limit = args.wait.limit();
    let stopped = args.no_auto_start;
    let request = create_request(args)?;
    if plan {
        return show_plan(&context.client.post("/endpoints?dry_run=true", &request).await?, context, console);
    }
    let mut endpoint: DedicatedEndpoint = context.client.post("/endpoints", &request).await?;
    console.say(&format!("Created {} ({}).", endpoint.id, endpoint.name));
    let idle = endpoint.status.as_ref().map_or("", |it| it.idle.as_str());
    if !idle.is_empty() {
        console.say(&format!("When idle: {idle}."));
    }
    if stopped {
        console.say(&format!("Stopped. Start it with `dedi endpoints start {}`.", endpoint.id));
    } else if wait {
        let id = endpoint.id.clone();
        endpoint =
            wait::until(&context.client, console, &id, Goal::Started, limit).await?.unwrap_or(endpoint);
        console.say(&format!("Ready. Chat with it: `dedi chat {id}`."));
    } else {
        console.say(&format!(
            "Starting in the background. Follow progress with `dedi endpoints wait {}`.",
            endpoint.id
        ));
    }
    show(context, console, &endpoint)
}

/// A plan that says no ends like a create that was refused.
fn show_plan(plan: &EndpointPlan, context: &Context, console: &mut Console) -> Result {
    context.print(console, plan, [&plan.hardware], render::plan)?;
    if plan.fits {
        return Ok(());
    }
    Err(CliError::silent(Exit::Refused))
}

fn create_request(args: CreateArgs) -> Result<CreateEndpointRequest> {
    // One bound given alone moves the other only as far as it must.
    let min = args.min_replicas.unwrap_or_else(|| args.max_replicas.map_or(1, |max| max.min(1)));
    let max = args.max_replicas.unwrap_or_else(|| min.max(1));
    check_bounds(Some(min), Some(max))?;
    Ok(CreateEndpointRequest {
        model: Some(args.model),
        hardware: Some(args.hardware),
        autoscaling: Some(AutoscalingRequest {
            min_replicas: Some(min.into()),
            max_replicas: Some(max.into()),
        }),
        display_name: args.display_name,
        state: Some(if args.no_auto_start { "STOPPED" } else { "STARTED" }.to_owned()),
        inactive_timeout: args.inactive_timeout.map(|minutes| Some(minutes.into())),
        disable_speculative_decoding: args.no_speculative_decoding.then_some(true),
        disable_prompt_cache: args.no_prompt_cache.then_some(true),
        availability_zone: args.availability_zone,
    })
}

pub(super) fn check_bounds(min: Option<u32>, max: Option<u32>) -> Result {
    match (min, max) {
        (Some(min), Some(max)) if min > max => Err(CliError::usage(
            format!("--min-replicas {min} is more than --max-replicas {max}"),
            "raise --max-replicas or lower --min-replicas",
        )),
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::endpoints::EndpointsCommand;
    use crate::endpoints::tests::Program;

    fn created(line: &str) -> std::result::Result<String, String> {
        let args =
            ["dedi", "create", "--model", "m", "--hardware", "h"].into_iter().chain(line.split_whitespace());
        let EndpointsCommand::Create(args) =
            Program::try_parse_from(args).map_err(|it| it.to_string())?.command
        else {
            panic!("not a create")
        };
        create_request(args).map(|it| serde_json::to_string(&it).unwrap()).map_err(|it| it.message)
    }

    #[test]
    fn create_with_defaults_asks_for_one_replica() {
        insta::assert_snapshot!(created("").unwrap(), @r#"{"model":"m","hardware":"h","autoscaling":{"min_replicas":1,"max_replicas":1},"state":"STARTED"}"#);
    }

    #[test]
    fn create_sends_every_flag() {
        let all = "--min-replicas 0 --max-replicas 3 --no-auto-start --no-speculative-decoding --availability-zone z --inactive-timeout 0";
        insta::assert_snapshot!(created(all).unwrap(), @r#"{"model":"m","hardware":"h","autoscaling":{"min_replicas":0,"max_replicas":3},"state":"STOPPED","inactive_timeout":0,"disable_speculative_decoding":true,"availability_zone":"z"}"#);
    }

    #[test]
    fn create_with_one_bound_moves_the_other() {
        assert!(created("--min-replicas 3").unwrap().contains(r#""min_replicas":3,"max_replicas":3"#));
        assert!(created("--max-replicas 3").unwrap().contains(r#""min_replicas":1,"max_replicas":3"#));
        assert_eq!(
            created("--min-replicas 3 --max-replicas 2").unwrap_err(),
            "--min-replicas 3 is more than --max-replicas 2"
        );
    }
}

//! `create`: from flags to the body of a create, or to a plan that changes nothing.

use clap::Args;
use dedi_api::{AutoscalingRequest, CreateEndpointRequest, DedicatedEndpoint, EndpointPlan};

use super::one::{WaitArgs, show};
use crate::console::Console;
use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::render;
use crate::wait::{self, Goal};

/// Flags of `create`.
#[derive(Debug, Args)]
#[command(after_help = "What fits a model: dedi endpoints hardware --model MODEL")]
pub struct CreateArgs {
    /// Model to deploy, such as dedi/demo
    #[arg(long)]
    model: String,
    /// Hardware of each replica, such as 1x_cpu_8gb
    #[arg(long)]
    hardware: String,
    /// Fewest replicas; 0 lets it sleep and wake on a request
    #[arg(long, value_name = "N")]
    min_replicas: Option<u32>,
    /// Most replicas under load
    #[arg(long, value_name = "N")]
    max_replicas: Option<u32>,
    /// Name for people
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Create it stopped
    #[arg(long)]
    no_auto_start: bool,
    /// Steadier latency instead of speculative decoding
    #[arg(long)]
    no_speculative_decoding: bool,
    /// Accepted and without effect
    #[arg(long, hide = true)]
    no_prompt_cache: bool,
    /// Zone to place it in
    #[arg(long, value_name = "ZONE")]
    availability_zone: Option<String>,
    /// Minutes without a request until it stops; 0 is never [default: the server's, 60]
    #[arg(long, value_name = "MINUTES")]
    inactive_timeout: Option<u32>,
    /// Say whether it fits, with the arithmetic, and change nothing; ends with 1 if it does not
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
    console.say(&format!("Created {} as {}.", endpoint.id, endpoint.name));
    let idle = endpoint.status.as_ref().map_or("", |it| it.idle.as_str());
    if !idle.is_empty() {
        console.say(&format!("When idle: {idle}."));
    }
    if stopped {
        console.say(&format!("It is stopped; start it with `dedi endpoints start {}`.", endpoint.id));
    } else if wait {
        endpoint = wait::until(&context.client, console, &endpoint.id, Goal::Started, limit).await?;
        console.say(&format!("It answers; talk to it with `dedi chat {}`.", endpoint.id));
    } else {
        console.say(&format!(
            "It starts by itself; follow it with `dedi endpoints start {} --wait`.",
            endpoint.id
        ));
    }
    show(context, console, &endpoint)
}

/// A plan that says no ends like a create that was refused.
fn show_plan(plan: &EndpointPlan, context: &Context, console: &mut Console) -> Result {
    if context.json {
        console.json(plan)?;
    } else {
        console.data(&render::plan(plan))?;
    }
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
            "raise the one or lower the other",
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
    fn the_smallest_create_asks_for_one_replica_and_leaves_the_rest_to_the_server() {
        insta::assert_snapshot!(created("").unwrap(), @r#"{"model":"m","hardware":"h","autoscaling":{"min_replicas":1,"max_replicas":1},"state":"STARTED"}"#);
    }

    #[test]
    fn every_flag_of_create_reaches_the_body() {
        let all = "--min-replicas 0 --max-replicas 3 --no-auto-start --no-speculative-decoding --availability-zone z --inactive-timeout 0";
        insta::assert_snapshot!(created(all).unwrap(), @r#"{"model":"m","hardware":"h","autoscaling":{"min_replicas":0,"max_replicas":3},"state":"STOPPED","inactive_timeout":0,"disable_speculative_decoding":true,"availability_zone":"z"}"#);
    }

    #[test]
    fn one_bound_alone_moves_the_other() {
        assert!(created("--min-replicas 3").unwrap().contains(r#""min_replicas":3,"max_replicas":3"#));
        assert!(created("--max-replicas 3").unwrap().contains(r#""min_replicas":1,"max_replicas":3"#));
        assert_eq!(
            created("--min-replicas 3 --max-replicas 2").unwrap_err(),
            "--min-replicas 3 is more than --max-replicas 2"
        );
    }
}

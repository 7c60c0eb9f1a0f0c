//! `dedi endpoints …`: the reference page's commands and flags, and what dedi adds to them.

use std::time::Duration;

use clap::{Args, Subcommand};
use dedi_api::{
    AutoscalingRequest, AvailabilityZones, CreateEndpointRequest, DedicatedEndpoint, EndpointEvent,
    EndpointPlan, Hardware, List, ListEndpoint, ReplicaInfo, UpdateEndpointRequest,
};

use crate::Context;
use crate::client::encoded;
use crate::console::Console;
use crate::error::{CliError, Exit, Result};
use crate::render;
use crate::resolve::{Match, resolve};
use crate::wait::{self, Goal};

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

/// Which endpoint.
#[derive(Debug, Args)]
pub struct One {
    /// Id, name, display name, or a unique beginning of one
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
}

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

/// How to wait.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Wait until it is done; ends with 1 if it fails
    #[arg(long)]
    wait: bool,
    /// Seconds to wait at most
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..))]
    wait_timeout: u64,
}

impl WaitArgs {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.wait_timeout)
    }
}

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

/// Flags of `update`.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    #[command(flatten)]
    one: One,
    /// Fewest replicas
    #[arg(long, value_name = "N")]
    min_replicas: Option<u32>,
    /// Most replicas
    #[arg(long, value_name = "N")]
    max_replicas: Option<u32>,
    /// Name for people
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Minutes without a request until it stops; 0 is never
    #[arg(long, value_name = "MINUTES")]
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
    /// Id, name or display name, whole
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
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

/// Flags of `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    #[command(flatten)]
    one: One,
    /// Only events after this one
    #[arg(long, value_name = "EVENT_ID")]
    after: Option<i64>,
}

/// Flags of `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    #[command(flatten)]
    one: One,
    /// Which launch; each keeps its own log [default: the last]
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// The launch of this replica, running or ended, by its whole id
    #[arg(long, value_name = "REPLICA_ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    replica: Option<String>,
    /// Only the last lines [default: 100]
    #[arg(long, value_name = "LINES")]
    tail: Option<u32>,
    /// Go on as the log grows, until the launch ends or Ctrl-C
    #[arg(long, short)]
    follow: bool,
}

/// Events asked for at once; the most that the server gives.
const EVENTS_PER_PAGE: usize = 1_000;

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

async fn create(args: CreateArgs, context: &Context, console: &mut Console) -> Result {
    let (wait, plan) = (args.wait.wait, args.plan);
    let limit = args.wait.limit();
    let stopped = args.no_auto_start;
    let request = create_request(args)?;
    if plan {
        return show_plan(&context.client.post("/endpoints?dry_run=true", &request).await?, context, console);
    }
    let mut endpoint: DedicatedEndpoint = context.client.post("/endpoints", &request).await?;
    console.say(&format!("Created {} as {}.", endpoint.id, endpoint.name));
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

fn check_bounds(min: Option<u32>, max: Option<u32>) -> Result {
    match (min, max) {
        (Some(min), Some(max)) if min > max => Err(CliError::usage(
            format!("--min-replicas {min} is more than --max-replicas {max}"),
            "raise the one or lower the other",
        )),
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

async fn list(args: ListArgs, context: &Context, console: &mut Console) -> Result {
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

async fn update(args: UpdateArgs, context: &Context, console: &mut Console) -> Result {
    let request = update_request(&args)?;
    let path = path_of(&resolve(&context.client, &args.one.endpoint, Match::Beginning).await?);
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
            "there is nothing to change",
            "give --min-replicas, --max-replicas, --display-name or --inactive-timeout",
        ));
    }
    Ok(request)
}

async fn switch(args: SwitchArgs, goal: Goal, context: &Context, console: &mut Console) -> Result {
    let id = resolve(&context.client, &args.one.endpoint, Match::Beginning).await?;
    let (state, doing) = match goal {
        Goal::Started => ("STARTED", "starting"),
        Goal::Stopped => ("STOPPED", "stopping"),
    };
    let request = UpdateEndpointRequest { state: Some(state.to_owned()), ..UpdateEndpointRequest::default() };
    let mut endpoint: DedicatedEndpoint = context.client.patch(&path_of(&id), &request).await?;
    let mut said =
        if endpoint.state == state { format!("{id} is {state}.") } else { format!("{id} is {doing}.") };
    if args.wait.wait && endpoint.state != state {
        console.say(&said);
        endpoint = wait::until(&context.client, console, &id, goal, args.wait.limit()).await?;
        said = format!("{id} is {state}.");
    }
    console.say(&said);
    show(context, console, &endpoint)
}

async fn delete(args: DeleteArgs, context: &Context, console: &mut Console) -> Result {
    let id = resolve(&context.client, &args.endpoint, Match::Whole).await?;
    context.client.delete(&path_of(&id)).await?;
    console.say(&format!("Deleted {id}."));
    if context.json {
        return console.json(&serde_json::json!({"id": id, "message": "Successfully deleted endpoint"}));
    }
    Ok(())
}

async fn hardware(args: HardwareArgs, context: &Context, console: &mut Console) -> Result {
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

async fn zones(context: &Context, console: &mut Console) -> Result {
    let mut zones: AvailabilityZones = context.client.get("/clusters/availability-zones").await?;
    zones.avzones.sort();
    if context.json {
        return console.json(&zones);
    }
    let lines: String =
        zones.avzones.iter().map(|it| format!("{}\n", crate::console::harmless(it))).collect();
    console.data(&lines)
}

async fn events(args: EventsArgs, context: &Context, console: &mut Console) -> Result {
    let id = resolve(&context.client, &args.one.endpoint, Match::Beginning).await?;
    let mut after = args.after.unwrap_or(0);
    let mut events: Vec<EndpointEvent> = Vec::new();
    loop {
        let path = format!("{}/events?after={after}&limit={EVENTS_PER_PAGE}", path_of(&id));
        let page: List<EndpointEvent> = context.client.get(&path).await?;
        let Some(last) = page.data.last().map(|it| it.id) else { break };
        let is_full = page.data.len() >= EVENTS_PER_PAGE;
        events.extend(page.data);
        // A server that ignores `after` would give the same page for ever.
        if !is_full || last <= after {
            break;
        }
        after = last;
    }
    if context.json { console.json(&events) } else { console.data(&render::events(&events)) }
}

async fn logs(args: LogsArgs, context: &Context, console: &mut Console) -> Result {
    let id = resolve(&context.client, &args.one.endpoint, Match::Beginning).await?;
    let mut query = Vec::new();
    if let Some(attempt) = args.attempt {
        query.push(format!("attempt={attempt}"));
    }
    if let Some(replica) = &args.replica {
        query.push(format!("replica={}", encoded(replica)));
    }
    if let Some(tail) = args.tail {
        query.push(format!("tail={tail}"));
    }
    if args.follow && !context.json {
        query.push("follow=true".to_owned());
    }
    let path = with_query(&format!("{}/logs", path_of(&id)), &query);
    let mut stream = context.client.get_stream(&path).await.map_err(|err| {
        let names_launch = args.attempt.is_some() || args.replica.is_some();
        let hint = (names_launch && err.is_not_found())
            .then(|| format!("`dedi endpoints events {id}` shows its launches"));
        let err = CliError::from(err);
        CliError { hint: hint.or(err.hint), ..err }
    })?;
    let mut log = Vec::new();
    let interrupted = console.interrupted();
    tokio::pin!(interrupted);
    loop {
        let piece = tokio::select! {
            piece = stream.next() => piece?,
            () = &mut interrupted => return Err(CliError::silent(Exit::Interrupted)),
        };
        let Some(piece) = piece else { break };
        log.extend_from_slice(&piece);
        if !context.json {
            // Whole lines only, so that no character is cut in two.
            let end = log.iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1);
            let lines: Vec<u8> = log.drain(..end).collect();
            console.foreign(&String::from_utf8_lossy(&lines))?;
        }
    }
    let rest = String::from_utf8_lossy(&log);
    if context.json {
        return console.json(
            &serde_json::json!({"id": id, "attempt": args.attempt, "replica": args.replica, "log": rest}),
        );
    }
    console.foreign(&rest)
}

async fn replicas(one: One, context: &Context, console: &mut Console) -> Result {
    let id = resolve(&context.client, &one.endpoint, Match::Beginning).await?;
    let list: List<ReplicaInfo> = context.client.get(&format!("{}/replicas", path_of(&id))).await?;
    if context.json {
        return console.json(&list.data);
    }
    if list.data.is_empty() {
        console.say(&format!("{id} has no replicas; `dedi endpoints why {id}` says why."));
        return Ok(());
    }
    console.data(&render::replicas(&list.data))
}

async fn fetch(context: &Context, one: &One) -> Result<DedicatedEndpoint> {
    let id = resolve(&context.client, &one.endpoint, Match::Beginning).await?;
    Ok(context.client.get(&path_of(&id)).await?)
}

fn show(context: &Context, console: &mut Console, endpoint: &DedicatedEndpoint) -> Result {
    if context.json {
        return console.json(endpoint);
    }
    let text = render::endpoint(endpoint, console.colours());
    console.data(&text)
}

fn path_of(id: &str) -> String {
    format!("/endpoints/{}", encoded(id))
}

fn with_query(path: &str, query: &[String]) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(subcommand)]
        command: EndpointsCommand,
    }

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

    #[test]
    fn available_needs_a_model() {
        assert!(Program::try_parse_from(["dedi", "hardware", "--available"]).is_err());
        assert!(Program::try_parse_from(["dedi", "hardware", "--model", "m", "--available"]).is_ok());
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

    #[test]
    fn an_update_of_nothing_is_refused_before_any_request() {
        let parse = |line: &str| {
            let args = ["dedi", "update", "e"].into_iter().chain(line.split_whitespace());
            let EndpointsCommand::Update(args) = Program::try_parse_from(args).unwrap().command else {
                panic!("not an update")
            };
            update_request(&args).map(|it| serde_json::to_string(&it).unwrap()).map_err(|it| it.message)
        };
        assert_eq!(parse(""), Err("there is nothing to change".to_owned()));
        assert_eq!(parse("--min-replicas 2").unwrap(), r#"{"autoscaling":{"min_replicas":2}}"#);
        assert_eq!(parse("--inactive-timeout 0").unwrap(), r#"{"inactive_timeout":0}"#);
    }
}

//! `POST /v1/endpoints`: the request checked field by field in the contract's order, then against the model
//! store and the host. What is stored could run here.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use dedi_api::{CreateEndpointRequest, RefusalCode};
use dedi_domain::endpoint::RunCause;
use dedi_domain::idle::{IdleRule, TimeoutBy, default_timeout, outlook};
use dedi_domain::model_rights::ModelAct;
use dedi_domain::{
    Desired, EndpointId, EndpointName, EndpointState, HardwareId, ModelName, ReplicaRange, Run, Timestamp,
};
use http::HeaderMap;

use super::auth::Caller;
use super::body::{Fields, JsonBody, Query};
use super::deployable::{deployable, must_be_usable, must_fit, no_hardware, no_model, unlisted_hardware};
use super::display_name::check_display_name;
use super::error::ApiError;
use super::fields::{check_inactive_timeout, check_range, check_run, check_zone, read_autoscaling};
use super::repeat;
use super::reply::LastReply;
use super::views;
use super::{model_rights, ownership, plan};
use crate::config::ControlConfig;
use crate::shared::{Shared, random_uuid};
use crate::store::{Actor, EndpointKey, Inserted, NewEndpoint};

/// Times an insert is tried again because the same request made another endpoint meanwhile.
const TRIES: u32 = 32;

pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    query: Query,
    headers: HeaderMap,
    connection: Option<Extension<LastReply>>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    caller.must_change()?;
    let is_plan = query.boolean("dry_run")?;
    let mut request = read(&body.fields)?;
    let zone = check_zone(&shared.config, query.get("availability_zone"))?;
    request.availability_zone = request.availability_zone.or(zone);
    let checked = check(&shared.config, &request)?;
    let now = shared.clock.now();
    let zone = query.get("availability_zone");
    let idempotency = repeat::known_by(&shared.config, &headers, &caller.0.key, &body.bytes, zone, now)?;
    let fetches = shared.pulls.fetches_on_create() && !is_plan;
    let holding = match model_rights::must(&shared, &caller, &checked.model, ModelAct::Deploy).await {
        Err(ApiError::NotFound(_))
            if fetches && ownership::may_join(&shared, &caller, &checked.model).await? =>
        {
            None
        }
        holding => Some(holding?),
    };
    let facts = match deployable(&shared, &checked.model).await {
        // What it needs shows when it is here.
        Err(ApiError::NotFound(_)) if fetches => None,
        facts => Some(facts?),
    };
    let inventory = super::hardware::inventory(&shared).await?;
    let hardware = inventory
        .config(&checked.hardware)
        .ok_or_else(|| unlisted_hardware(&checked.hardware, &inventory))?;
    if !is_plan {
        must_be_usable(&hardware, &inventory)?;
    }
    if let Some(facts) = &facts {
        if is_plan {
            let (min, minutes) = (checked.replicas.min(), checked.inactive_timeout_minutes);
            let idle = outlook(min, minutes, checked.timeout_by, shared.config.policy().scale_down_delay);
            return Ok(
                Json(plan::plan(&shared, &checked.model, facts, &hardware, &inventory, idle)).into_response()
            );
        }
        must_fit(&shared, facts, &hardware, &inventory)?;
    }
    let checked = Checked { hardware: hardware.id, ..checked };

    if fetches && (holding.is_none() || facts.is_none()) {
        ownership::claim(&shared, &caller, &checked.model).await?;
    }
    let pin = ownership::pin(&shared, &checked.model).await?;
    let window = repeat::window(&shared.config, now);
    let id = EndpointId::from_uuid(random_uuid());
    let reply = shared.replies.begin(id, window);
    let mut new = NewEndpoint {
        desired: desired(id, &caller, checked, now),
        idempotency,
        quota: shared.config.endpoints_per_owner_max,
        pin,
        by: Actor::from(&caller.0),
    };
    let is_retry = repeat::is_retry(&headers);
    let repeats = |of: EndpointId| is_retry || shared.replies.is_lost(of);
    let mut inserted = shared.store.insert_endpoint(&new, now).await?;
    for _ in 0..TRIES {
        // A mark of ours whose answer arrived: the request is meant as another endpoint.
        match (&inserted, &mut new.idempotency) {
            (Inserted::Before(before), Some(it)) if it.is_ours && !repeats(*before) => {
                it.instead_of = Some(*before);
            }
            (_, _) => break,
        }
        inserted = shared.store.insert_endpoint(&new, now).await?;
    }
    let (stored, reply) = match inserted {
        Inserted::New => {
            tracing::info!(endpoint.id = %new.desired.id, owner = %new.desired.owner, "created an endpoint for {}", new.desired.model);
            shared.publish_new(&new.desired);
            shared.looks.ask().await;
            (new.desired, reply)
        }
        Inserted::Before(before) => {
            tracing::info!(endpoint.id = %before, "answered a repeated create with the endpoint it made");
            let found = shared.store.endpoint(&caller.0.owner, &EndpointKey::Id(before)).await;
            let found = found.map_err(|err| ApiError::of_lookup(err, &before.to_string()))?;
            if !caller.shows(&found) {
                return Err(ApiError::no_endpoint(&before.to_string()));
            }
            (found, shared.replies.begin(before, window))
        }
        Inserted::OtherBody => {
            return Err(ApiError::field(
                "Idempotency-Key",
                "This Idempotency-Key was used with another request body",
            ));
        }
        Inserted::QuotaFull => {
            let most = shared.config.endpoints_per_owner_max;
            return Err(ApiError::Invalid {
                message: format!(
                    "This account has {most} endpoints, which is the most it may have; delete one"
                ),
                param: None,
                code: Some(RefusalCode::QuotaExceeded),
            });
        }
    };
    let response = Json(views::endpoint(&shared, stored).await?).into_response();
    Ok(reply.watch(response, connection.map(|it| it.0), now))
}

/// The request's members by type. Null is absent, but for the inactivity timeout.
fn read(fields: &Fields) -> Result<CreateEndpointRequest, ApiError> {
    let autoscaling = match fields.object("autoscaling")?.flatten() {
        Some(pair) => Some(read_autoscaling(&pair)?),
        None => None,
    };
    Ok(CreateEndpointRequest {
        model: fields.text("model")?.flatten(),
        hardware: fields.text("hardware")?.flatten(),
        autoscaling,
        display_name: fields.text("display_name")?.flatten(),
        state: fields.text("state")?.flatten(),
        inactive_timeout: fields.integer("inactive_timeout")?,
        disable_speculative_decoding: fields.boolean("disable_speculative_decoding")?.flatten(),
        disable_prompt_cache: fields.boolean("disable_prompt_cache")?.flatten(),
        availability_zone: fields.text("availability_zone")?.flatten(),
    })
}

/// A create whose every field is in order by itself.
struct Checked {
    model: ModelName,
    hardware: HardwareId,
    replicas: ReplicaRange,
    display_name: Option<String>,
    run: Run,
    inactive_timeout_minutes: Option<u32>,
    timeout_by: TimeoutBy,
    availability_zone: Option<String>,
    disable_speculative_decoding: bool,
}

fn check(config: &ControlConfig, request: &CreateEndpointRequest) -> Result<Checked, ApiError> {
    let required = |value: &Option<String>, name: &str| match value.as_deref().map(str::trim) {
        None | Some("") => Err(ApiError::field(name, format!("{name} is required"))),
        Some(text) => Ok(text.to_owned()),
    };
    let model = required(&request.model, "model")?;
    let hardware = required(&request.hardware, "hardware")?;
    let Some(autoscaling) = request.autoscaling else {
        return Err(ApiError::field("autoscaling", "autoscaling is required: {min_replicas, max_replicas}"));
    };
    let member = |value: Option<i64>, name: &str| {
        let param = format!("autoscaling.{name}");
        value.ok_or_else(|| ApiError::field(param.clone(), format!("{param} is required")))
    };
    let min = member(autoscaling.min_replicas, "min_replicas")?;
    let max = member(autoscaling.max_replicas, "max_replicas")?;
    let replicas = check_range(min, max)?;
    let display_name = request.display_name.as_deref().map(check_display_name).transpose()?;
    let run = request.state.as_deref().map_or(Ok(Run::Started), check_run)?;
    let null = ControlConfig::timeout(config.null_inactive_timeout_minutes);
    let (inactive_timeout_minutes, timeout_by) = match check_inactive_timeout(request.inactive_timeout, null)?
    {
        None => (config.default_timeout(replicas.min()), TimeoutBy::Default),
        // Only where the operator has a null stand for a default: otherwise it says never.
        Some(of_null @ Some(_)) if request.inactive_timeout == Some(None) => {
            (default_timeout(of_null, replicas.min()), TimeoutBy::Default)
        }
        Some(asked) => (asked, TimeoutBy::Create),
    };
    let availability_zone = check_zone(config, request.availability_zone.as_deref())?;
    Ok(Checked {
        model: ModelName::parse(&model).map_err(|_malformed| no_model(&model))?,
        hardware: HardwareId::parse(&hardware).map_err(|_malformed| no_hardware(&hardware))?,
        replicas,
        display_name,
        run,
        inactive_timeout_minutes,
        timeout_by,
        availability_zone,
        disable_speculative_decoding: request.disable_speculative_decoding.unwrap_or(false),
    })
}

fn desired(id: EndpointId, caller: &Caller, checked: Checked, now: Timestamp) -> Desired {
    let owner = caller.0.owner.clone();
    let [suffix @ .., _, _, _, _, _, _, _, _, _, _, _, _] = random_uuid().into_bytes();
    let suffix = u32::from_be_bytes(suffix);
    let display_name =
        checked.display_name.unwrap_or_else(|| format!("{}-{suffix:08x}", checked.model.base()));
    Desired {
        id,
        name: EndpointName::compose(&owner, &checked.model, suffix),
        owner,
        display_name,
        model: checked.model,
        hardware: checked.hardware,
        replicas: checked.replicas,
        run: checked.run,
        run_cause: RunCause::User,
        deleted: false,
        inactive_timeout_minutes: checked.inactive_timeout_minutes,
        idle: IdleRule { set_by: checked.timeout_by, ..IdleRule::default() },
        availability_zone: checked.availability_zone,
        disable_speculative_decoding: checked.disable_speculative_decoding,
        generation: 1,
        observed_generation: 0,
        published: match checked.run {
            Run::Started => EndpointState::Pending,
            Run::Stopped => EndpointState::Stopped,
        },
        published_at: now,
        created_at: now,
        started_at: now,
    }
}

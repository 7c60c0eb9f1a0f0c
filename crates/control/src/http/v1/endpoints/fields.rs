//! Fields of endpoints that requests have as text, as domain values.

use dedi_api::{AutoscalingRequest, CreateEndpointRequest};
use dedi_domain::{HardwareId, ModelName, ReplicaRange, Run};

use crate::http::error::ApiError;
use crate::service::ServiceError;
use crate::service::endpoints::{EndpointRequest, replica_range};

/// The endpoint that a create asks for. `zone` is the query's, for a body without one.
pub(super) fn endpoint(
    request: CreateEndpointRequest,
    zone: Option<&str>,
) -> Result<EndpointRequest, ApiError> {
    let model = required(request.model, "model")?;
    let hardware = required(request.hardware, "hardware")?;
    let Some(autoscaling) = request.autoscaling else {
        return Err(ApiError::field("autoscaling", "autoscaling is required: {min_replicas, max_replicas}"));
    };
    Ok(EndpointRequest {
        replicas: range(autoscaling)?,
        display_name: request.display_name,
        run: request.state.as_deref().map_or(Ok(Run::Started), run)?,
        inactive_timeout: request.inactive_timeout,
        zone: request.availability_zone.or_else(|| zone.map(str::to_owned)),
        disable_speculative_decoding: request.disable_speculative_decoding.unwrap_or(false),
        model: ModelName::parse(&model).map_err(|_malformed| ServiceError::no_model(&model))?,
        hardware: HardwareId::parse(&hardware)
            .map_err(|_malformed| ServiceError::UnknownHardware(hardware))?,
    })
}

pub(super) fn run(text: &str) -> Result<Run, ApiError> {
    match text {
        "STARTED" => Ok(Run::Started),
        "STOPPED" => Ok(Run::Stopped),
        _ => Err(ApiError::field("state", "state must be STARTED or STOPPED")),
    }
}

fn required(value: Option<String>, name: &str) -> Result<String, ApiError> {
    match value.as_deref().map(str::trim) {
        None | Some("") => Err(ApiError::field(name, format!("{name} is required"))),
        Some(text) => Ok(text.to_owned()),
    }
}

fn range(pair: AutoscalingRequest) -> Result<ReplicaRange, ApiError> {
    let member = |value: Option<i64>, name: &str| {
        let param = format!("autoscaling.{name}");
        value.ok_or_else(|| ApiError::field(param.clone(), format!("{param} is required")))
    };
    let min = member(pair.min_replicas, "min_replicas")?;
    let max = member(pair.max_replicas, "max_replicas")?;
    Ok(replica_range(min, max)?)
}

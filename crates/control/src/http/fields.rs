//! The fields of an endpoint, each checked by itself: what is wrong is named with its limit.

use dedi_api::{AutoscalingRequest, Nullable};
use dedi_domain::{ReplicaRange, Run};

use super::body::Fields;
use super::error::ApiError;
use crate::config::ControlConfig;

/// Longest inactivity timeout: a year, in minutes.
const INACTIVE_TIMEOUT_MINUTES_MAX: i64 = 366 * 24 * 60;

pub(super) fn read_autoscaling(pair: &Fields) -> Result<AutoscalingRequest, ApiError> {
    Ok(AutoscalingRequest {
        min_replicas: pair.integer("min_replicas")?.flatten(),
        max_replicas: pair.integer("max_replicas")?.flatten(),
    })
}

/// The bounds, or a refusal that names the one that is wrong.
pub(super) fn check_range(min: i64, max: i64) -> Result<ReplicaRange, ApiError> {
    ReplicaRange::new(min, max).map_err(|err| {
        let name = if err.0.starts_with("max") { "max_replicas" } else { "min_replicas" };
        ApiError::field(format!("autoscaling.{name}"), err.0)
    })
}

pub(super) fn check_run(text: &str) -> Result<Run, ApiError> {
    match text {
        "STARTED" => Ok(Run::Started),
        "STOPPED" => Ok(Run::Stopped),
        _ => Err(ApiError::field("state", "state must be STARTED or STOPPED")),
    }
}

/// `None` when the request does not say; `null` is what a null stands for.
pub(super) fn check_inactive_timeout(
    asked: Nullable<i64>,
    null: Option<u32>,
) -> Result<Option<Option<u32>>, ApiError> {
    let minutes = match asked {
        None => return Ok(None),
        Some(None) => return Ok(Some(null)),
        Some(Some(minutes)) => minutes,
    };
    match u32::try_from(minutes) {
        Ok(fits) if minutes <= INACTIVE_TIMEOUT_MINUTES_MAX => Ok(Some(ControlConfig::timeout(fits))),
        Ok(_) | Err(_) => Err(ApiError::field(
            "inactive_timeout",
            format!("inactive_timeout must be 0 to {INACTIVE_TIMEOUT_MINUTES_MAX} minutes, got {minutes}"),
        )),
    }
}

pub(super) fn check_zone(config: &ControlConfig, asked: Option<&str>) -> Result<Option<String>, ApiError> {
    match asked {
        None | Some("") => Ok(None),
        Some(zone) if config.zones.iter().any(|it| it == zone) => Ok(Some(zone.to_owned())),
        Some(zone) => Err(ApiError::field(
            "availability_zone",
            format!("availability_zone {} is unknown; known are: {}", shown(zone), config.zones.join(", ")),
        )),
    }
}

/// A client's text inside a sentence: bounded and without control characters.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(256).collect()
}

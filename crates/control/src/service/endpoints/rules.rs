//! What single values of an endpoint may be. A refusal names the limit.

use dedi_domain::ReplicaRange;

use crate::config::ControlConfig;
use crate::service::display_name::check_display_name;
use crate::service::error::ServiceError;
use crate::text::shown;

/// Longest inactivity timeout: a year, in minutes.
const INACTIVE_TIMEOUT_MINUTES_MAX: i64 = 366 * 24 * 60;

pub(super) fn display_name(text: &str) -> Result<String, ServiceError> {
    check_display_name(text)
        .map_err(|err| ServiceError::invalid("display_name", format!("display_name {err}")))
}

/// The bounds, or a refusal that names the one that is wrong.
pub(crate) fn replica_range(min: i64, max: i64) -> Result<ReplicaRange, ServiceError> {
    ReplicaRange::new(min, max).map_err(|err| {
        let is_max = err.0.starts_with("max");
        ServiceError::invalid(
            if is_max { "autoscaling.max_replicas" } else { "autoscaling.min_replicas" },
            err.0,
        )
    })
}

/// `None` when the request does not say; `null` is what a null stands for, and no minutes are never.
pub(super) fn inactive_timeout(
    asked: Option<Option<i64>>,
    null: Option<u32>,
) -> Result<Option<Option<u32>>, ServiceError> {
    let minutes = match asked {
        None => return Ok(None),
        Some(None) => return Ok(Some(null)),
        Some(Some(minutes)) => minutes,
    };
    match u32::try_from(minutes) {
        Ok(fits) if minutes <= INACTIVE_TIMEOUT_MINUTES_MAX => Ok(Some(ControlConfig::timeout(fits))),
        Ok(_) | Err(_) => Err(ServiceError::invalid(
            "inactive_timeout",
            format!("inactive_timeout must be 0 to {INACTIVE_TIMEOUT_MINUTES_MAX} minutes, got {minutes}"),
        )),
    }
}

pub(super) fn zone(config: &ControlConfig, asked: Option<String>) -> Result<Option<String>, ServiceError> {
    match asked.filter(|it| !it.is_empty()) {
        None => Ok(None),
        Some(zone) if config.zones.contains(&zone) => Ok(Some(zone)),
        Some(zone) => Err(ServiceError::invalid(
            "availability_zone",
            format!("availability_zone {} is unknown; known are: {}", shown(&zone), config.zones.join(", ")),
        )),
    }
}

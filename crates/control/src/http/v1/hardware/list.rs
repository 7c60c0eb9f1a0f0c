//! `GET /v1/hardware`: what this host has, and with `?model=` what of it could hold that model.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::{HardwareAvailability, HardwarePricing, HardwareSpecs, HardwareUsage, List};
use dedi_domain::ModelName;

use crate::clock::Clock;
use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::service::hardware::{Availability, Hardware, Offer};
use crate::service::{Caller, ServiceError};

pub(crate) async fn list(
    State(hardware): State<Arc<Hardware>>,
    State(clock): State<Clock>,
    caller: Caller,
    query: Query,
) -> Result<Json<List<dedi_api::Hardware>>, ApiError> {
    let model = match query.get("model") {
        Some(named) => Some(ModelName::parse(named).map_err(|_malformed| ServiceError::no_model(named))?),
        None => None,
    };
    let offers = hardware.list(&caller, model.as_ref()).await?;
    Ok(Json(List::new(offers.into_iter().map(|it| shown(it, &clock)).collect())))
}

fn shown(it: Offer, clock: &Clock) -> dedi_api::Hardware {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let kind = &it.config.kind;
    dedi_api::Hardware {
        object: "hardware".to_owned(),
        id: it.config.id.to_string(),
        pricing: HardwarePricing { cents_per_minute: it.cents_per_minute },
        specs: HardwareSpecs {
            gpu_type: kind.gpu_type(),
            gpu_link: kind.link.clone(),
            gpu_memory: f64::from(kind.memory_gb),
            gpu_count: it.config.count,
        },
        availability: it.availability.map(availability),
        updated_at: clock.show(it.seen_at),
        usage: Some(HardwareUsage {
            devices: count(it.n_devices),
            free: count(it.n_free),
            used_by: it.used_by.into_iter().collect(),
            unusable: it.unusable,
        }),
    }
}

fn availability(it: Availability) -> HardwareAvailability {
    let status = match it {
        Availability::Now => "available",
        Availability::Later => "insufficient",
        Availability::NoneFree => "unavailable",
    };
    HardwareAvailability { status: status.to_owned() }
}

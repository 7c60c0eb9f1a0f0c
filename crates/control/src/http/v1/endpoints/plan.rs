//! A plan as `POST /v1/endpoints?dry_run=true` answers it.

use dedi_api::EndpointPlan;
use dedi_domain::fit::bytes_per_device;

use crate::service::endpoints::Plan;

pub(super) fn plan(it: Plan) -> EndpointPlan {
    let devices_free = u32::try_from(it.available_bytes.len()).unwrap_or(u32::MAX);
    EndpointPlan {
        object: "endpoint.plan".to_owned(),
        model: it.model.to_string(),
        hardware: it.hardware.id.to_string(),
        fits: it.fits,
        can_start_now: it.can_start_now,
        message: it.message,
        idle: it.idle,
        needed_bytes: it.need.total_bytes(),
        needed_bytes_per_device: bytes_per_device(it.need, it.hardware.count),
        weights_bytes: it.need.weights_bytes,
        kv_cache_bytes: it.need.kv_cache_bytes,
        compute_bytes: it.need.compute_bytes,
        margin_bytes: it.need.margin_bytes,
        available_bytes: it.available_bytes.iter().fold(0_u64, |sum, it| sum.saturating_add(*it)),
        devices_needed: it.hardware.count,
        devices_free,
        context_tokens: it.serving.context_tokens,
        slots: it.serving.slots,
        nearest_hardware: it.nearest.map(|it| it.to_string()),
    }
}

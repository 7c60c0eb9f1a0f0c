//! Reads the body of a request that may be served, as far as its head and the first bytes show.

use axum::body::Body;
use bytes::Bytes;
use dedi_domain::{Principal, RouteTable};
use dedi_http::{BodyError, BodyLimits, check_head, check_json, read_body};
use http::HeaderMap;
use http_body::Body as _;

use super::early::ModelScan;
use crate::config::{GatewayConfig, ms};
use crate::core::Core;
use crate::error::ApiError;
use crate::memory::HeldBytes;
use crate::route::may_run;

/// Longest body that is read for a key without endpoints, so that the error can name the model.
const BODY_WITHOUT_ENDPOINT_MAX: usize = 64 << 10;

/// The whole body, and the memory it is counted in while it is held. The model is looked up as soon as its name has
/// come, where the body has not ended by then.
pub(super) async fn read(
    core: &Core,
    table: &RouteTable,
    caller: &Principal,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, HeldBytes), ApiError> {
    let mut limits = limits(&core.config);
    check_head(headers, limits.bytes_max)?;
    check_json(headers)?;
    let has_endpoint = table.routes.iter().any(|it| it.owner == caller.owner);
    if !has_endpoint {
        limits.bytes_max = limits.bytes_max.min(BODY_WITHOUT_ENDPOINT_MAX);
        if body.size_hint().lower() > limits.bytes_max as u64 {
            return Err(ApiError::NoEndpoint);
        }
    }
    let mut held = core.memory.begin(&caller.owner, &caller.key);
    let mut scan = ModelScan::default();
    let admit = |chunk: &[u8], is_last: bool| {
        held.grow(chunk.len(), core.config.bytes_max)?;
        let Some(model) = (!is_last).then(|| scan.push(chunk)).flatten() else { return Ok(()) };
        let (route, _) = core.fleet.resolve(&model, caller)?;
        may_run(&route, &model)
    };
    match read_body(body, &limits, admit).await {
        Ok(bytes) => Ok((bytes, held)),
        Err(ApiError::Body(BodyError::TooLarge { .. })) if !has_endpoint => Err(ApiError::NoEndpoint),
        Err(error) => Err(error),
    }
}

fn limits(config: &GatewayConfig) -> BodyLimits {
    BodyLimits {
        bytes_max: config.body_bytes_max,
        time_max: ms(config.body_timeout_ms),
        pause_max: ms(config.body_idle_timeout_ms),
        bytes_per_sec_min: config.body_bytes_per_sec_min,
    }
}

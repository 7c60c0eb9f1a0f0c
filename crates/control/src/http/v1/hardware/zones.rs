//! `GET /v1/clusters/availability-zones`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::AvailabilityZones;

use crate::service::Caller;
use crate::service::hardware::Hardware;

pub(crate) async fn zones(State(hardware): State<Arc<Hardware>>, _caller: Caller) -> Json<AvailabilityZones> {
    Json(AvailabilityZones { avzones: hardware.zones() })
}

//! Waits for a replica to be ready, bounded in time; the number of those who wait is bounded by admission.

use std::sync::Arc;

use tokio::time::timeout;

use crate::admission::{Endpoint, InFlight};
use crate::config::{GatewayConfig, ms};
use crate::http::error::ApiError;
use crate::route::{Fleet, Target, Turn};

/// A replica for the request, now or as soon as there is one.
pub(crate) async fn ready_replica(
    fleet: &Fleet,
    target: &Target,
    endpoint: &Arc<Endpoint>,
    config: &GatewayConfig,
) -> Result<InFlight, ApiError> {
    // Before the first look, so that no table in between is missed.
    let mut versions = fleet.versions();
    let (wakes, mut why) = match fleet.turn(target, endpoint, None)? {
        Turn::Go(in_flight) => return Ok(in_flight),
        Turn::Wait { wakes, why } => (wakes, why),
    };
    let limit = ms(if wakes { config.cold_start_wait_ms } else { config.ready_wait_ms });
    let _waiting = fleet.wait_at(endpoint);
    let found = timeout(limit, async {
        loop {
            if versions.changed().await.is_err() {
                return Err(ApiError::ShuttingDown);
            }
            match fleet.turn(target, endpoint, None)? {
                Turn::Go(in_flight) => return Ok(in_flight),
                Turn::Wait { why: newer, .. } => why = newer,
            }
        }
    })
    .await;
    match found {
        Ok(done) => done,
        Err(_elapsed) if wakes => Err(ApiError::ColdStart { waited: limit, why }),
        Err(_elapsed) => Err(ApiError::NoReplica { why }),
    }
}

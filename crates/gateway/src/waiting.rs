//! Waits for a replica to be ready, bounded in time; the number of those who wait is bounded by admission.

use std::sync::Arc;
use std::time::Duration;

use dedi_domain::ReplicaId;
use dedi_domain::route::Wait;
use tokio::time::{Instant, timeout};

use crate::admission::{Endpoint, InFlight};
use crate::error::ApiError;
use crate::route::{Fleet, NotNow, Pick, Target};

/// How often an unreachable replica is retried while no new route table arrives.
const AGAIN: Duration = Duration::from_secs(1);

/// The time limit of one request's waits for a replica.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    begun: Instant,
    limit: Duration,
}

impl Patience {
    /// Starts now and lasts for `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { begun: Instant::now(), limit }
    }

    /// Time left.
    pub(crate) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.begun.elapsed())
    }
}

/// A replica for the request, now or as soon as there is one. `gone` could not be reached a moment ago.
pub(crate) async fn ready_replica(
    fleet: &Fleet,
    target: &Target,
    endpoint: &Arc<Endpoint>,
    patience: Patience,
    mut gone: Option<ReplicaId>,
) -> Result<InFlight, ApiError> {
    // Subscribed before the first pick, so that no table in between is missed.
    let mut versions = fleet.versions();
    let mut now = match fleet.pick(target, endpoint, gone)? {
        Pick::Go(in_flight) => return Ok(in_flight),
        Pick::Wait(now) => now,
    };
    let mut waiting = None;
    loop {
        let left = patience.left();
        match now.prospect.wait(fleet.now(), left) {
            Wait::Hold => {}
            Wait::Later(retry_after) => return Err(not_ready(now, patience, retry_after)),
            Wait::Refuse => {
                // A replica was expected when the table was read; the table has just changed.
                let retry_after = now.prospect.retry_after(fleet.now());
                return Err(not_ready(now, patience, retry_after));
            }
        }
        let _counted = waiting.get_or_insert_with(|| fleet.wait_at(endpoint));
        let pause = if gone.is_some() { left.min(AGAIN) } else { left };
        match timeout(pause, versions.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_closed)) => return Err(ApiError::ShuttingDown),
            Err(_elapsed) => gone = None,
        }
        now = match fleet.pick(target, endpoint, gone)? {
            Pick::Go(in_flight) => return Ok(in_flight),
            Pick::Wait(newer) => newer,
        };
    }
}

fn not_ready(now: NotNow, patience: Patience, retry_after: Duration) -> ApiError {
    let NotNow { wakes, why, model, .. } = now;
    // Whole seconds, as the message shows them; an immediate refusal has waited for none.
    let waited = if patience.left().is_zero() { patience.limit } else { Duration::ZERO };
    if wakes && !waited.is_zero() {
        ApiError::ColdStart { waited, why, retry_after }
    } else {
        ApiError::Starting { model, waited, why, retry_after }
    }
}

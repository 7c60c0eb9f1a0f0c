//! Waits for a replica to be ready, bounded in time; the number of those who wait is bounded by admission.

use std::sync::Arc;
use std::time::Duration;

use dedi_domain::ReplicaId;
use dedi_domain::route::Wait;
use tokio::time::{Instant, timeout};

use crate::admission::{Endpoint, InFlight};
use crate::error::ApiError;
use crate::route::{Fleet, NotNow, Target, Turn};

/// How often a replica that could not be reached is tried again while nothing else is heard of it.
const AGAIN: Duration = Duration::from_secs(1);

/// Who waits for what, and until when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    begun: Instant,
    limit: Duration,
}

impl Patience {
    /// From now on for `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { begun: Instant::now(), limit }
    }

    /// How long it may still be waited.
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
    // Before the first look, so that no table in between is missed.
    let mut versions = fleet.versions();
    let mut now = match fleet.turn(target, endpoint, gone)? {
        Turn::Go(in_flight) => return Ok(in_flight),
        Turn::Wait(now) => now,
    };
    let mut waiting = None;
    loop {
        let left = patience.left();
        match now.prospect.wait(fleet.now(), left) {
            Wait::Hold => {}
            Wait::Later(retry_after) => return Err(not_ready(now, patience, retry_after)),
            Wait::Refuse => {
                // It was to come when the table was looked at; that one has just changed.
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
        now = match fleet.turn(target, endpoint, gone)? {
            Turn::Go(in_flight) => return Ok(in_flight),
            Turn::Wait(newer) => newer,
        };
    }
}

fn not_ready(now: NotNow, patience: Patience, retry_after: Duration) -> ApiError {
    let NotNow { wakes, why, model, .. } = now;
    // Whole seconds, as they are told; what was answered at once has waited for none.
    let waited = if patience.left().is_zero() { patience.limit } else { Duration::ZERO };
    if wakes && !waited.is_zero() {
        ApiError::ColdStart { waited, why, retry_after }
    } else {
        ApiError::Starting { model, waited, why, retry_after }
    }
}

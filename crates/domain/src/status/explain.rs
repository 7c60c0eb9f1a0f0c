//! Explains one endpoint of a world: for its tenant, for whoever may only run inference, and for requests that wait.

use std::time::Duration;

use super::count::Count;
use super::explainer::{Explainer, Words, counted};
use super::report::{Progress, Status};
use super::waiting::paused;
use crate::endpoint::EndpointState;
use crate::failure::{Verdict, verdict};
use crate::fetch::Fetch;
use crate::route::Prospect;
use crate::time::Timestamp;
use crate::world::{EndpointView, World, wanted};

impl Explainer<'_> {
    /// Everything that `view` says of itself, for its own tenant.
    pub fn explain(&self, view: &EndpointView) -> Status {
        let (world, desired) = (self.world, &view.desired);
        let judged = judge(view, world);
        let paused = paused(view, world).map(|(until, _)| until);
        let next_retry_at = match &judged {
            // It waits for the user, whatever else happened.
            Verdict::Broken { retry_at: None, .. } => None,
            Verdict::Clean | Verdict::BackingOff { .. } | Verdict::Broken { .. } => {
                paused.max(judged.retry_at())
            }
        };
        let count = Count::of(view, self);
        let next_retry_at = view.fetch.as_ref().and_then(Fetch::retry_at).or(next_retry_at);
        let next_retry_at = if desired.published == EndpointState::Error {
            // One whose time has come waits for devices, and is tried as soon as they are there.
            next_retry_at.max(next_retry_at.map(|_| world.now))
        } else {
            next_retry_at.filter(|it| *it > world.now)
        };
        let said = Words { fetch: view.fetch.as_ref(), is_for_all: false };
        Status {
            reason: self.reason(view, said, &judged, &count),
            since: desired.published_at,
            n_ready: count.ready,
            n_wanted: wanted(view),
            progress: count.progress,
            next_retry_at: next_retry_at.filter(|_| desired.wants_replicas() && count.ready < wanted(view)),
            first_failure: counted(view).next().cloned(),
            last_failure: counted(view).next_back().cloned(),
        }
    }

    /// The message for whoever may only run inference: the reason without the engine's log or the hub's words, which
    /// are for those who may read the endpoint.
    pub fn outline(&self, view: &EndpointView) -> String {
        let mut fetch = view.fetch.clone();
        match &mut fetch {
            Some(Fetch::Failed { what, .. }) => "its model could not be fetched".clone_into(what),
            Some(Fetch::Unreadable { what }) => "its files can't be read".clone_into(what),
            Some(Fetch::HeldOff { what, .. }) => "the hub asks to wait".clone_into(what),
            Some(
                Fetch::Queued { .. }
                | Fetch::Running { .. }
                | Fetch::Checking { .. }
                | Fetch::CheckQueued { .. }
                | Fetch::Absent,
            )
            | None => {}
        }
        let said = Words { fetch: fetch.as_ref(), is_for_all: true };
        self.reason(view, said, &judge(view, self.world), &Count::of(view, self)).message
    }

    /// What a request may hope for while none of its replicas is ready.
    pub(crate) fn prospect(&self, view: &EndpointView) -> Prospect {
        let (world, desired) = (self.world, &view.desired);
        let (judged, count) = (judge(view, world), Count::of(view, self));
        let next_try = match (&view.fetch, &judged) {
            // Trying again helps only if somebody has changed something.
            (Some(Fetch::Failed { is_final: true, .. }), _) | (_, Verdict::Broken { retry_at: None, .. }) => {
                None
            }
            (Some(fetch), _) => fetch.retry_at(),
            (None, _) => paused(view, world).map(|it| it.0).max(judged.retry_at()),
        };
        // In ERROR one whose time has come waits for devices; elsewhere it is about to be launched.
        let next_try = next_try.filter(|it| desired.published == EndpointState::Error || *it > world.now);
        let said = Words { fetch: view.fetch.as_ref(), is_for_all: true };
        let code = self.reason(view, said, &judged, &count).code;
        let by = count.progress.and_then(|it| expected(it, world.now));
        Prospect::of(desired.published, desired.wants_replicas(), code, next_try, by)
    }
}

/// When a launch is done that goes on as it went so far.
fn expected(progress: Progress, now: Timestamp) -> Option<Timestamp> {
    let done = u64::from(progress.percent?);
    let secs = progress.elapsed_secs.checked_mul(100_u64.checked_sub(done)?)?.checked_div(done)?;
    Some(now.plus(Duration::from_secs(secs)))
}

fn judge(view: &EndpointView, world: &World) -> Verdict {
    verdict(view.desired.id, &view.failures, view.desired.started_at, &world.settings.backoff)
}

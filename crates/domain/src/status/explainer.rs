//! Explains the endpoints of one world, which is looked at once for all of them.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::Duration;

use super::count::Count;
use super::waiting::paused;
use super::{Progress, Status};
use crate::endpoint::EndpointState;
use crate::failure::{Failure, Verdict, verdict};
use crate::fetch::Fetch;
use crate::ids::EndpointId;
use crate::placement::Shortage;
use crate::reconcile::{EndpointView, Observation, Seen, World, by_mark, launches, phase_of, wanted};
use crate::replica::{ReplicaPhase, ReplicaRow};
use crate::route::Prospect;
use crate::time::Timestamp;

/// One world, looked at once for all the endpoints that are to be explained.
#[derive(Debug)]
pub struct Explainer<'a> {
    pub(super) world: &'a World,
    seen: Seen<'a>,
    /// What is short for whom; worked out when the first endpoint asks.
    shortages: OnceCell<BTreeMap<EndpointId, Shortage>>,
}

impl<'a> Explainer<'a> {
    /// Looks at `world`.
    pub fn new(world: &'a World) -> Self {
        let seen = match &world.observation {
            Observation::Known(observed) => by_mark(observed),
            Observation::Unknown => Seen::new(),
        };
        Self { world, seen, shortages: OnceCell::new() }
    }

    /// What is seen of a row's own process.
    pub(crate) fn phase(&self, row: &ReplicaRow) -> Option<&'a ReplicaPhase> {
        phase_of(row, &self.seen)
    }

    /// What the row's engine said instead of its first token.
    pub(crate) fn unready(&self, row: &ReplicaRow) -> Option<&'a str> {
        self.seen.get(&(row.id, row.nonce)).and_then(|it| it.unready.as_deref())
    }

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

    /// What is short for it, if anything is.
    pub(super) fn shortage(&self, id: EndpointId) -> Option<&Shortage> {
        let all = self.shortages.get_or_init(|| {
            if self.world.observation == Observation::Unknown {
                return BTreeMap::new();
            }
            let endpoints: Vec<&EndpointView> = self.world.endpoints.iter().collect();
            let mut short = BTreeMap::new();
            for (id, devices) in launches(&endpoints, &self.seen, self.world) {
                if let Err(why) = devices {
                    short.entry(id).or_insert(why);
                }
            }
            short
        });
        all.get(&id)
    }
}

/// Which of others' words a reason may repeat.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) fetch: Option<&'a Fetch>,
    /// None that the engine has logged.
    pub(super) is_for_all: bool,
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

/// The failures of this run that are held against it, oldest first.
pub(super) fn counted(view: &EndpointView) -> impl DoubleEndedIterator<Item = &Failure> {
    view.failures.iter().filter(|it| it.at >= view.desired.started_at && it.cause.counts())
}

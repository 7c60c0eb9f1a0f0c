//! Why an endpoint is in its state: a code for programs, a sentence with the numbers for people, and the
//! next step.

mod code;
mod count;
mod waiting;

use serde::{Deserialize, Serialize};

pub use self::code::ReasonCode;
use self::count::{Count, count_replicas};
use self::waiting::{fetch_reason, pending_reason, shortage, shortage_reason};
use crate::endpoint::{EndpointState, Run, RunCause};
use crate::failure::{Failure, Verdict, verdict};
use crate::fetch::Fetch;
use crate::reconcile::{EndpointView, Observation, World, wanted};
use crate::time::Timestamp;

/// A code and its sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// For programs.
    pub code: ReasonCode,
    /// For people, with the numbers.
    pub message: String,
    /// A command or a change that would help, if there is one.
    pub next_step: Option<String>,
}

/// How far a launch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Percent done, where the engine says.
    pub percent: Option<u8>,
    /// Seconds since the launch.
    pub elapsed_secs: u64,
}

/// Everything an endpoint says of itself beyond its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Why.
    pub reason: Reason,
    /// Since when the state is shown.
    pub since: Timestamp,
    /// Replicas that answer.
    pub n_ready: u32,
    /// Replicas wanted now.
    pub n_wanted: u32,
    /// How far the furthest launch is.
    pub progress: Option<Progress>,
    /// When a failed endpoint is tried again; `None` in ERROR means not before the user acts.
    pub next_retry_at: Option<Timestamp>,
    /// What went wrong first, of the failures that count.
    pub first_failure: Option<Failure>,
    /// What went wrong last.
    pub last_failure: Option<Failure>,
}

/// Explains the endpoint `view` of `world`.
pub fn explain(view: &EndpointView, world: &World) -> Status {
    let desired = &view.desired;
    let counted: Vec<&Failure> = counted(view).collect();
    let judged = verdict(desired.id, &view.failures, desired.started_at, &world.settings.backoff);
    let next_retry_at = match &judged {
        Verdict::Clean => None,
        Verdict::BackingOff { retry_at, .. } => Some(*retry_at),
        Verdict::Broken { retry_at, .. } => *retry_at,
    };
    let count = count_replicas(view, world);
    let next_retry_at = view.fetch.as_ref().and_then(Fetch::retry_at).or(next_retry_at);
    Status {
        reason: reason(view, world, &judged, &count),
        since: desired.published_at,
        n_ready: count.ready,
        n_wanted: wanted(view),
        progress: count.progress,
        next_retry_at: next_retry_at.filter(|_| desired.wants_replicas() && count.ready < wanted(view)),
        first_failure: counted.first().map(|it| (*it).clone()),
        last_failure: counted.last().map(|it| (*it).clone()),
    }
}

/// The failures of this run that are held against it, oldest first.
fn counted(view: &EndpointView) -> impl DoubleEndedIterator<Item = &Failure> {
    view.failures.iter().filter(|it| it.at >= view.desired.started_at && it.cause.counts())
}

fn say(code: ReasonCode, message: impl Into<String>) -> Reason {
    Reason { code, message: message.into(), next_step: None }
}

fn advise(code: ReasonCode, message: impl Into<String>, next_step: impl Into<String>) -> Reason {
    Reason { code, message: message.into(), next_step: Some(next_step.into()) }
}

fn reason(view: &EndpointView, world: &World, judged: &Verdict, count: &Count) -> Reason {
    let desired = &view.desired;
    if world.observation == Observation::Unknown {
        return say(
            ReasonCode::Unobserved,
            "the runtime has not been observed yet; the state is the last known one",
        );
    }
    match desired.published {
        EndpointState::Pending => pending_reason(view, world, judged, count),
        EndpointState::Starting => starting_reason(count),
        EndpointState::Started => started_reason(view, world, count),
        EndpointState::Stopping => stopping_reason(view, count),
        EndpointState::Stopped => match (desired.run, desired.run_cause, desired.inactive_timeout_minutes) {
            (Run::Stopped, RunCause::Inactive, Some(minutes)) => advise(
                ReasonCode::StoppedInactive,
                format!("no inference request for {minutes} minutes"),
                format!("start it with `dedi endpoints start {}`", desired.id),
            ),
            (Run::Stopped, RunCause::Inactive, None) => {
                say(ReasonCode::StoppedInactive, "no inference request for its inactivity timeout")
            }
            (Run::Stopped, RunCause::User, _) => advise(
                ReasonCode::StoppedByUser,
                "stopped on request",
                format!("start it with `dedi endpoints start {}`", desired.id),
            ),
            (Run::Started, _, _) => say(ReasonCode::Accepted, "accepted; waits for the next pass"),
        },
        EndpointState::Error => error_reason(view, world, judged),
    }
}

fn starting_reason(count: &Count) -> Reason {
    let n = count.launching;
    match count.progress {
        Some(Progress { percent: Some(percent), elapsed_secs }) => say(
            ReasonCode::Loading,
            format!("the engine loads the model: {percent} % after {elapsed_secs} s"),
        ),
        Some(Progress { percent: None, elapsed_secs }) => {
            say(ReasonCode::Loading, format!("the engine has been loading for {elapsed_secs} s"))
        }
        None => say(ReasonCode::Launching, format!("{n} replica(s) are being launched")),
    }
}

fn started_reason(view: &EndpointView, world: &World, count: &Count) -> Reason {
    let n_wanted = wanted(view);
    if n_wanted == 0 && count.ready == 0 {
        return say(ReasonCode::Asleep, "no replica runs; the first request starts one");
    }
    let (ready, launching) = (count.ready, count.launching);
    if ready >= n_wanted {
        return say(ReasonCode::Ready, format!("{ready} of {n_wanted} replica(s) answer"));
    }
    match shortage(view, world) {
        Some(short) if launching == 0 => {
            let why = shortage_reason(view, &short);
            let message = format!("{ready} of {n_wanted} replica(s) answer: {}", why.message);
            Reason { code: ReasonCode::Degraded, message, next_step: why.next_step }
        }
        Some(_) | None if launching > 0 => say(
            ReasonCode::Scaling,
            format!("{ready} of {n_wanted} replica(s) answer, {launching} are starting"),
        ),
        Some(_) | None => say(ReasonCode::Degraded, format!("{ready} of {n_wanted} replica(s) answer")),
    }
}

fn stopping_reason(view: &EndpointView, count: &Count) -> Reason {
    if view.desired.deleted {
        let left = view.replicas.len();
        return say(ReasonCode::Deleting, format!("being deleted; {left} replica(s) still exist"));
    }
    if count.draining > 0 {
        let message =
            format!("{} request(s) are being finished on {} replica(s)", count.in_flight, count.draining);
        return say(ReasonCode::Draining, message);
    }
    if count.stopping > 0 || count.ready > 0 || count.launching > 0 {
        let left = count.stopping + count.ready + count.launching;
        return say(ReasonCode::Terminating, format!("{left} replica(s) are being ended"));
    }
    say(ReasonCode::Releasing, "processes are gone; their devices' memory is awaited")
}

fn error_reason(view: &EndpointView, world: &World, judged: &Verdict) -> Reason {
    let desired = &view.desired;
    if let Some(fetch @ Fetch::Failed { .. }) = &view.fetch {
        return fetch_reason(view, fetch, world.now);
    }
    let Some(last) = counted(view).next_back() else {
        return say(ReasonCode::Accepted, "waits for the next pass");
    };
    let retry = match judged {
        Verdict::Broken { retry_at: Some(at), .. } | Verdict::BackingOff { retry_at: at, .. } => {
            format!("the next try is in {} s", at.since(world.now).as_secs() + 1)
        }
        Verdict::Broken { retry_at: None, .. } | Verdict::Clean => {
            "it is not tried again by itself".to_owned()
        }
    };
    let n = match judged {
        Verdict::Broken { n_failures, .. } | Verdict::BackingOff { n_failures, .. } => *n_failures,
        Verdict::Clean => 0,
    };
    let detail = if last.detail.is_empty() { String::new() } else { format!(" ({})", last.detail) };
    advise(
        last.cause.into(),
        format!("{} attempt(s) failed, the last because {}{detail}; {retry}", n, last.cause.sentence()),
        format!("see `dedi endpoints logs {0}`, mend it, then `dedi endpoints start {0}`", desired.id),
    )
}

//! Why an endpoint is in its state: a code for programs, a sentence with the numbers for people, and the
//! next step.

mod code;
mod count;
mod waiting;

use serde::{Deserialize, Serialize};

pub use self::code::ReasonCode;
use self::count::{Count, count_replicas};
use self::waiting::{fetch_reason, paused, pending_reason, shortage, shortage_reason};
use crate::advice::next_step;
use crate::endpoint::{EndpointState, Run, RunCause};
use crate::failure::{Failure, Verdict, verdict};
use crate::fetch::Fetch;
use crate::reconcile::{EndpointView, Observation, World, wanted};
use crate::time::Timestamp;
use crate::words::{count as counting, is_or_are, so_many_are};

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
    let paused = paused(view, world).map(|(until, _)| until);
    let next_retry_at = match &judged {
        Verdict::Clean => paused,
        Verdict::BackingOff { retry_at, .. } | Verdict::Broken { retry_at: Some(retry_at), .. } => {
            paused.max(Some(*retry_at))
        }
        Verdict::Broken { retry_at: None, .. } => None,
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

/// The message for whoever may only run inference: the reason without the engine's log or the hub's words, which are
/// for those who may read the endpoint.
pub fn outline(view: &EndpointView, world: &World) -> String {
    let mut known = view.clone();
    for failure in &mut known.failures {
        failure.detail.clear();
    }
    if let Some(Fetch::Failed { what, .. }) = &mut known.fetch {
        "its model could not be fetched".clone_into(what);
    }
    explain(&known, world).reason.message
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
            (Run::Started, _, _) => {
                say(ReasonCode::Accepted, "it was asked to start; the server is about to look at it")
            }
        },
        EndpointState::Error => error_reason(view, world, judged),
    }
}

fn starting_reason(count: &Count) -> Reason {
    match count.progress {
        Some(Progress { percent: Some(percent), elapsed_secs }) => say(
            ReasonCode::Loading,
            format!("the engine loads the model: {percent} % after {elapsed_secs} s"),
        ),
        Some(Progress { percent: None, elapsed_secs }) => {
            say(ReasonCode::Loading, format!("the engine has been loading for {elapsed_secs} s"))
        }
        None if count.launching == 0 => say(ReasonCode::Launching, "a replica is about to be launched"),
        None => {
            let n = u64::from(count.launching);
            say(ReasonCode::Launching, format!("{} {} being launched", counting(n, "replica"), is_or_are(n)))
        }
    }
}

/// How many of the wanted replicas answer.
fn answering(ready: u32, n_wanted: u32) -> String {
    let wanted = u64::from(n_wanted);
    let answer = if ready == 1 { "answers" } else { "answer" };
    match u64::from(ready) {
        0 => format!("no replica answers, {} wanted", so_many_are(wanted)),
        n if n > wanted => {
            format!("{} {answer}, {} wanted now", counting(n, "replica"), so_many_are(wanted))
        }
        n => format!("{n} of {} {answer}", counting(wanted, "replica")),
    }
}

fn started_reason(view: &EndpointView, world: &World, count: &Count) -> Reason {
    let n_wanted = wanted(view);
    if n_wanted == 0 && count.ready == 0 {
        return say(ReasonCode::Asleep, "no replica runs; the first request starts one");
    }
    let (ready, launching) = (count.ready, count.launching);
    if ready >= n_wanted {
        return say(ReasonCode::Ready, answering(ready, n_wanted));
    }
    match shortage(view, world) {
        Some(short) if launching == 0 => {
            let why = shortage_reason(view, &short);
            let message = format!("{}: {}", answering(ready, n_wanted), why.message);
            Reason { code: ReasonCode::Degraded, message, next_step: why.next_step }
        }
        Some(_) | None if launching > 0 => say(
            ReasonCode::Scaling,
            format!("{}, {} starting", answering(ready, n_wanted), so_many_are(u64::from(launching))),
        ),
        Some(_) | None => say(ReasonCode::Degraded, answering(ready, n_wanted)),
    }
}

fn stopping_reason(view: &EndpointView, count: &Count) -> Reason {
    if view.desired.deleted {
        let message = match view.replicas.len() {
            0 => "being deleted; no replica is left".to_owned(),
            1 => "being deleted; 1 replica still exists".to_owned(),
            n => format!("being deleted; {n} replicas still exist"),
        };
        return say(ReasonCode::Deleting, message);
    }
    if count.draining > 0 {
        let (requests, replicas) = (u64::from(count.in_flight), u64::from(count.draining));
        let message = match requests {
            0 => format!(
                "{} {} out of requests and about to end",
                counting(replicas, "replica"),
                is_or_are(replicas)
            ),
            n => format!(
                "{} {} being finished on {}",
                counting(n, "request"),
                is_or_are(n),
                counting(replicas, "replica")
            ),
        };
        return say(ReasonCode::Draining, message);
    }
    if count.stopping > 0 || count.ready > 0 || count.launching > 0 {
        let left = u64::from(count.stopping + count.ready + count.launching);
        let message = format!("{} {} being ended", counting(left, "replica"), is_or_are(left));
        return say(ReasonCode::Terminating, message);
    }
    say(ReasonCode::Releasing, "processes are gone; their devices' memory is awaited")
}

fn error_reason(view: &EndpointView, world: &World, judged: &Verdict) -> Reason {
    let desired = &view.desired;
    if let Some(fetch @ Fetch::Failed { .. }) = &view.fetch {
        return fetch_reason(view, fetch, world.now);
    }
    let Some(last) = counted(view).next_back() else {
        return say(ReasonCode::Accepted, "the server is about to look at it");
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
    let failed = match n {
        0 | 1 => "the last attempt failed".to_owned(),
        n => format!("{n} attempts failed, the last"),
    };
    let detail = if last.detail.is_empty() { String::new() } else { format!(" ({})", last.detail) };
    advise(
        last.cause.into(),
        format!("{failed} because {}{detail}; {retry}", last.cause.sentence()),
        next_step(last.cause, desired),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_replicas_read_as_english() {
        let said =
            [(1, 1), (0, 1), (1, 2), (2, 2), (0, 2), (2, 1), (1, 0)].map(|(ready, n)| answering(ready, n));
        assert_eq!(
            said,
            [
                "1 of 1 replica answers",
                "no replica answers, 1 is wanted",
                "1 of 2 replicas answers",
                "2 of 2 replicas answer",
                "no replica answers, 2 are wanted",
                "2 replicas answer, 1 is wanted now",
                "1 replica answers, none is wanted now",
            ]
        );
        assert_eq!(starting_reason(&Count::default()).message, "a replica is about to be launched");
        let launching = |launching| starting_reason(&Count { launching, ..Count::default() }).message;
        assert_eq!(
            [launching(1), launching(2)],
            ["1 replica is being launched", "2 replicas are being launched"]
        );
    }
}

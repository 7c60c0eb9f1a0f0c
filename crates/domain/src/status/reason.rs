//! The reason of each state.

use super::count::Count;
use super::explainer::{Words, counted};
use super::waiting::{fetch_reason, pending_reason, shortage_reason};
use super::{Explainer, Progress, Reason, ReasonCode};
use crate::advice::next_step;
use crate::endpoint::{EndpointState, Run, RunCause};
use crate::failure::Verdict;
use crate::fetch::Fetch;
use crate::reconcile::{EndpointView, Observation, World, wanted};
use crate::words::{count as counting, is_or_are, so_many_are};

pub(super) fn say(code: ReasonCode, message: impl Into<String>) -> Reason {
    Reason { code, message: message.into(), next_step: None }
}

pub(super) fn advise(code: ReasonCode, message: impl Into<String>, next_step: impl Into<String>) -> Reason {
    Reason { code, message: message.into(), next_step: Some(next_step.into()) }
}

impl Explainer<'_> {
    pub(super) fn reason(
        &self,
        view: &EndpointView,
        words: Words<'_>,
        judged: &Verdict,
        count: &Count,
    ) -> Reason {
        let (desired, world) = (&view.desired, self.world);
        if world.observation == Observation::Unknown {
            return advise(
                ReasonCode::Unobserved,
                "the server can't look at its host's processes or devices now; the state is the last known one, and nothing is started or ended",
                "see the server's log, or `dedi doctor` on its host",
            );
        }
        match desired.published {
            EndpointState::Pending => pending_reason(view, words, self, judged, count),
            EndpointState::Starting => starting_reason(count),
            EndpointState::Started => started_reason(view, self, count),
            EndpointState::Stopping => stopping_reason(view, count),
            EndpointState::Stopped => {
                match (desired.run, desired.run_cause, desired.inactive_timeout_minutes) {
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
                }
            }
            EndpointState::Error => error_reason(view, words, world, judged),
        }
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

fn started_reason(view: &EndpointView, all: &Explainer<'_>, count: &Count) -> Reason {
    let n_wanted = wanted(view);
    if n_wanted == 0 && count.ready == 0 {
        return say(ReasonCode::Asleep, "no replica runs; the first request starts one");
    }
    let (ready, launching) = (count.ready, count.launching);
    if ready >= n_wanted {
        return say(ReasonCode::Ready, answering(ready, n_wanted));
    }
    match all.shortage(view.desired.id) {
        Some(short) if launching == 0 => {
            let why = shortage_reason(view, short);
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

fn error_reason(view: &EndpointView, words: Words<'_>, world: &World, judged: &Verdict) -> Reason {
    let desired = &view.desired;
    if let Some(fetch @ Fetch::Failed { .. }) = words.fetch {
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
    let is_silent = words.is_for_all || last.detail.is_empty();
    let detail = if is_silent { String::new() } else { format!(" ({})", last.detail) };
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

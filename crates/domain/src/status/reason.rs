//! The reason of each state.

use super::count::Count;
use super::explainer::{Words, counted};
use super::say::{advise, say};
use super::waiting::{delay_reason, fetch_reason, pending_reason, shortage_reason};
use super::{Explainer, Progress, Reason, ReasonCode};
use crate::advice::{next_step, where_to_look};
use crate::endpoint::{EndpointState, Run, RunCause};
use crate::failure::Verdict;
use crate::fetch::Fetch;
use crate::idle::IdleStop;
use crate::plural::{count as counting, is_or_are, so_many_are};
use crate::world::{EndpointView, Observation, World, wanted};

impl Explainer<'_> {
    pub(super) fn reason(
        &self,
        view: &EndpointView,
        words: Words<'_>,
        judged: &Verdict,
        count: &Count<'_>,
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
            EndpointState::Starting => starting_reason(view, world, count),
            EndpointState::Started => started_reason(view, words, self, judged, count),
            EndpointState::Stopping => stopping_reason(view, count),
            EndpointState::Stopped if desired.deleted => deleting_reason(view),
            EndpointState::Stopped => {
                match (desired.run, desired.run_cause, desired.idle.stopped) {
                    (Run::Stopped, RunCause::Inactive, stopped) => advise(
                        ReasonCode::StoppedInactive,
                        // Stopped by a version that did not keep it.
                        stopped.map_or_else(
                            || "no inference request for its inactive_timeout".to_owned(),
                            IdleStop::sentence,
                        ),
                        format!("start it with `dedi endpoints start {}`", desired.id),
                    ),
                    (Run::Stopped, RunCause::User, _) => advise(
                        ReasonCode::StoppedByUser,
                        // The generation that a create makes: nobody has stopped it since.
                        if desired.generation == 1 {
                            "created without being started"
                        } else {
                            "stopped on request"
                        },
                        format!("start it with `dedi endpoints start {}`", desired.id),
                    ),
                    (Run::Started, _, _) => {
                        say(ReasonCode::Accepted, "it was asked to start; the server is about to look at it")
                    }
                }
            }
            EndpointState::Error => error_reason(view, words, self, judged),
        }
    }
}

fn starting_reason(view: &EndpointView, world: &World, count: &Count<'_>) -> Reason {
    if count.launching == 0
        && let Some(reason) = failing_reason(view, world, count)
    {
        return reason;
    }
    if let (Some(why), Some(Progress { elapsed_secs, .. })) = (count.unready, count.progress) {
        return advise(
            ReasonCode::Loading,
            format!(
                "the engine has been starting for {elapsed_secs} s and serves, but gives no first token: {why}"
            ),
            format!("see `dedi endpoints logs {}`", view.desired.id),
        );
    }
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

/// What is wrong with replicas that are still there and do not answer.
fn failing_reason(view: &EndpointView, world: &World, count: &Count<'_>) -> Option<Reason> {
    let logs = format!("see `dedi endpoints logs {}`", view.desired.id);
    if let Some(since) = count.silent_since {
        let secs = world.now.since(since).as_secs();
        let limit = world.settings.unresponsive_limit.as_secs();
        let message = match count.silent {
            1 => format!(
                "1 replica has left its probes unanswered for {secs} s; it is replaced after {limit} s"
            ),
            n => format!(
                "{n} replicas leave their probes unanswered, the first for {secs} s; each is replaced after {limit} s"
            ),
        };
        return Some(advise(ReasonCode::Unresponsive, message, format!("{logs} for what it hangs on")));
    }
    let cause = count.ended_of?;
    let ended = counting(u64::from(count.ended), "replica");
    let which = if count.ended == 1 { "" } else { ", the last" };
    let message = format!("{ended} ended{which} because {}; that is about to be recorded", cause.sentence());
    Some(advise(cause.into(), message, where_to_look(cause, &logs)))
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

fn started_reason(
    view: &EndpointView,
    words: Words<'_>,
    all: &Explainer<'_>,
    judged: &Verdict,
    count: &Count<'_>,
) -> Reason {
    let n_wanted = wanted(view);
    if n_wanted == 0 && count.ready == 0 {
        return say(ReasonCode::Asleep, "no replica runs; the first request starts one");
    }
    let (ready, launching) = (count.ready, count.launching);
    if ready >= n_wanted {
        return say(ReasonCode::Ready, answering(ready, n_wanted));
    }
    let answering = answering(ready, n_wanted);
    let degraded = |why: Reason| Reason {
        code: ReasonCode::Degraded,
        message: format!("{answering}; {}", why.message),
        next_step: why.next_step,
    };
    if launching > 0 {
        let starting = so_many_are(u64::from(launching));
        return say(ReasonCode::Scaling, format!("{answering}, {starting} starting"));
    }
    if let Some(failing) = failing_reason(view, all.world, count) {
        return degraded(failing);
    }
    if let Some(delayed) = delay_reason(view, words, all.world, judged) {
        return degraded(delayed);
    }
    if let Some(short) = all.shortage(view.desired.id) {
        return degraded(shortage_reason(view, short, all.world));
    }
    let leaving = u64::from(count.draining + count.stopping + count.gone);
    if leaving > 0 {
        let (replicas, are) = (counting(leaving, "replica"), is_or_are(leaving));
        return say(ReasonCode::Scaling, format!("{answering}; {replicas} {are} still ending"));
    }
    let rest = so_many_are(u64::from(n_wanted - ready));
    say(ReasonCode::Scaling, format!("{answering}, {rest} about to be launched"))
}

fn deleting_reason(view: &EndpointView) -> Reason {
    let message = match view.replicas.len() {
        0 => "being deleted; no replica is left".to_owned(),
        1 => "being deleted; 1 replica still exists".to_owned(),
        n => format!("being deleted; {n} replicas still exist"),
    };
    say(ReasonCode::Deleting, message)
}

fn stopping_reason(view: &EndpointView, count: &Count<'_>) -> Reason {
    if view.desired.deleted {
        return deleting_reason(view);
    }
    // Where it was asked to start meanwhile.
    let afterwards = match view.desired.run {
        Run::Started => "; it starts again afterwards",
        Run::Stopped => "",
    };
    // Those that are ready drain from the next pass on.
    let draining = count.draining + count.ready;
    if draining > 0 {
        let (requests, replicas) = (u64::from(count.in_flight), u64::from(draining));
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
        return say(ReasonCode::Draining, message + afterwards);
    }
    let left = u64::from(count.left_to_end());
    if left > 0 {
        let message = format!("{} {} being ended{afterwards}", counting(left, "replica"), is_or_are(left));
        return say(ReasonCode::Terminating, message);
    }
    say(ReasonCode::Releasing, format!("processes are gone; their devices' memory is awaited{afterwards}"))
}

fn error_reason(view: &EndpointView, words: Words<'_>, all: &Explainer<'_>, judged: &Verdict) -> Reason {
    let (desired, world) = (&view.desired, all.world);
    if let Some(fetch @ Fetch::Failed { .. }) = words.fetch {
        return fetch_reason(view, fetch, world.now);
    }
    let Some(last) = counted(view).next_back() else {
        return say(ReasonCode::Accepted, "the server is about to look at it");
    };
    let retry = match (judged.retry_at(), all.shortage(desired.id)) {
        (Some(at), Some(short)) if at <= world.now => {
            format!("the next try waits: {}", shortage_reason(view, short, world).message)
        }
        (Some(at), _) => format!("the next try is in {} s", at.since(world.now).as_secs() + 1),
        (None, _) => "it is not tried again by itself".to_owned(),
    };
    let failed = match judged.n_failures().unwrap_or(0) {
        0 | 1 => "the last attempt failed".to_owned(),
        n => format!("it failed {n} times in a row, the last time"),
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
#[path = "reason_tests.rs"]
mod tests;

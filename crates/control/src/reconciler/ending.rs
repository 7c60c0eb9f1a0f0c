//! How an attempt ended and what it left behind, in the words that are stored.

use std::time::Duration;

use dedi_domain::hardware::Health;
use dedi_domain::last_words::{is_farewell, last_words};
use dedi_domain::reconcile::World;
use dedi_domain::replica::LOG_TAIL_LINES_MAX;
use dedi_domain::{
    DeviceId, DrainOutcome, EndReason, Exit, FailureCause, Observation, ReplicaId, ReplicaPhase,
};
use dedi_runtime_api::LogName;
use tokio::time::timeout;

use super::act::find;
use super::environment::Environment;
use crate::store::Ending;

/// Longest clause that says how an attempt ended, in characters.
const DETAIL_CHARS_MAX: usize = 300;
/// Longest log kept with a failure, in bytes.
const LOG_TAIL_BYTES_MAX: usize = 64 << 10;
/// Longest wait for the log of an attempt: its failure is recorded without it.
const LOG_MAX: Duration = Duration::from_secs(5);

/// A cause with a clause that says more.
pub(super) fn plain(cause: FailureCause, text: String) -> Ending {
    let detail = text.chars().take(DETAIL_CHARS_MAX).collect();
    Ending { cause, code: None, signal: None, detail, log_tail: String::new() }
}

/// How an attempt ended, from what the observation showed of its process. One that did not exit by itself has no record
/// of its end, so its last lines come from its log.
pub(super) async fn ending(
    environment: &dyn Environment,
    world: &World,
    replica: ReplicaId,
    cause: FailureCause,
) -> Ending {
    let phase = phase(world, replica);
    let (how, log_tail) = match phase {
        Some(ReplicaPhase::Exited(exit)) => (how(exit), exit.log_tail.clone()),
        Some(
            ReplicaPhase::Unstarted
            | ReplicaPhase::Launching { .. }
            | ReplicaPhase::Ready { .. }
            | ReplicaPhase::Unresponsive { .. }
            | ReplicaPhase::Stopping
            | ReplicaPhase::Orphaned,
        )
        | None => (silence(world, replica, cause), log_tail(environment, world, replica).await),
    };
    let (code, signal) = match phase {
        Some(ReplicaPhase::Exited(exit)) => (exit.code, exit.signal),
        Some(_) | None => (None, None),
    };
    let last = last_words(&log_tail).map(|it| {
        let kind = if is_farewell(it) { "its last words" } else { "last log line" };
        format!("{kind}: {it}")
    });
    let detail = how.into_iter().chain(last).collect::<Vec<_>>().join("; ");
    Ending { code, signal, log_tail: joined(&log_tail), ..plain(cause, detail) }
}

fn phase(world: &World, replica: ReplicaId) -> Option<&ReplicaPhase> {
    let Observation::Known(observed) = &world.observation else { return None };
    observed.iter().find(|it| it.id == replica).map(|it| &it.phase)
}

/// What its engine said instead of its first token.
fn unready(world: &World, replica: ReplicaId) -> Option<&str> {
    let Observation::Known(observed) = &world.observation else { return None };
    observed.iter().find(|it| it.id == replica)?.unready.as_deref()
}

fn how(exit: &Exit) -> Option<String> {
    match (exit.code, exit.signal) {
        (Some(code), _) => Some(format!("exit code {code}")),
        (None, Some(signal)) if exit.cause == FailureCause::EngineExited => {
            Some(format!("ended by its own fault, signal {signal}"))
        }
        (None, Some(signal)) => Some(format!("signal {signal}")),
        (None, None) => None,
    }
}

/// For how long one has been silent that is ended for it.
fn silence(world: &World, replica: ReplicaId, cause: FailureCause) -> Option<String> {
    let now = world.now;
    match (cause, phase(world, replica)) {
        (FailureCause::StartupDeadline, Some(ReplicaPhase::Launching { progress_at, percent })) => {
            let at = percent.map_or(String::new(), |it| format!(" at {it} %"));
            let said = unready(world, replica).map_or(String::new(), |it| format!("; it serves, but {it}"));
            Some(format!("no progress for {} s{at}{said}", now.since(*progress_at).as_secs()))
        }
        (FailureCause::Unresponsive, Some(ReplicaPhase::Unresponsive { since, .. })) => {
            Some(format!("no answer for {} s", now.since(*since).as_secs()))
        }
        (FailureCause::Unresponsive, Some(ReplicaPhase::Ready { .. })) => {
            let n = find(world, replica).map_or(0, |(_, it)| it.unanswered);
            Some(format!("its last {n} requests got no byte in time, though its probes were answered"))
        }
        (_, _) => None,
    }
}

async fn log_tail(environment: &dyn Environment, world: &World, replica: ReplicaId) -> Vec<String> {
    let Some((view, own)) = find(world, replica) else { return Vec::new() };
    let log = LogName { endpoint: view.desired.id, replica, attempt: own.row.attempt };
    let read = environment.runtime().tail_log(log, LOG_TAIL_LINES_MAX, LOG_TAIL_BYTES_MAX, true);
    match timeout(LOG_MAX, read).await {
        Ok(Ok(Some(piece))) => String::from_utf8_lossy(&piece.bytes).lines().map(str::to_owned).collect(),
        Ok(Ok(None)) => Vec::new(),
        // The failure is recorded all the same.
        Ok(Err(err)) => {
            tracing::warn!(replica.id = %replica, "its log can't be read: {err}");
            Vec::new()
        }
        Err(_elapsed) => {
            tracing::warn!(replica.id = %replica, "its log was not read in time");
            Vec::new()
        }
    }
}

/// What is done about a replica that is to go, why, and what becomes of the requests that it still has: `being ended: a
/// request stopped the endpoint; 1 request was not finished within 30 s and is cut`.
pub(super) fn stopping(world: &World, replica: ReplicaId, reason: EndReason, drain: DrainOutcome) -> String {
    let n = find(world, replica).map_or(0, |(_, own)| own.in_flight);
    let were = if n == 1 { "request was" } else { "requests were" };
    let limit = world.settings.drain_timeout.as_secs();
    let reason = reason.sentence();
    match (drain, n) {
        (DrainOutcome::NotNeeded | DrainOutcome::Finished, _) => format!("being ended: {reason}"),
        (DrainOutcome::TimedOut, 0) => {
            format!(
                "being ended: {reason}; the gateway did not confirm within {limit} s that it sends it no more requests"
            )
        }
        (DrainOutcome::TimedOut, n) => {
            let are = if n == 1 { "is" } else { "are" };
            format!("being ended: {reason}; {n} {were} not finished within {limit} s and {are} cut")
        }
        (DrainOutcome::Interrupted(cause), 0) => {
            format!("it ended while it drained: {}; it drained because {reason}", cause.sentence())
        }
        (DrainOutcome::Interrupted(cause), n) => {
            let how = cause.sentence();
            format!(
                "it ended while {n} {were} being finished, and they failed: {how}; it drained because {reason}"
            )
        }
    }
}

/// What is still held on a replica's devices after its processes are gone, and by whom as far as is known:
/// `512 MiB are still held on GPU-1, where python (412) runs`; and which of them could not be measured.
pub(super) fn held(world: &World, replica: ReplicaId, unmeasured: &[DeviceId]) -> Option<String> {
    let (_, own) = find(world, replica)?;
    let measured = own.row.devices.iter().filter(|it| !unmeasured.contains(it));
    let each: Vec<String> = measured
        .filter_map(|it| world.inventory.device(it))
        .filter(|it| it.leftover_bytes > 0)
        .map(|it| {
            let by = if it.foreign_processes.is_empty() {
                "by no process that the driver names".to_owned()
            } else {
                format!("where these run: {}", it.foreign_processes.join(", "))
            };
            format!("{} MiB are still held on {}, {by}", it.leftover_bytes >> 20, it.id)
        })
        .chain(unmeasured.iter().map(|id| {
            let why = match world.inventory.device(id).map(|it| &it.health) {
                Some(Health::Faulty(what) | Health::Unknown(what)) => what,
                Some(Health::Healthy) | None => "the host shows no such device now",
            };
            format!("the memory of {id} could not be measured: {why}")
        }))
        .collect();
    (!each.is_empty()).then(|| each.join("; "))
}

/// The lines as one text, without the oldest where they are too long.
fn joined(lines: &[String]) -> String {
    let mut n_bytes = 0;
    let mut kept: Vec<&str> = lines
        .iter()
        .rev()
        .map(String::as_str)
        .take_while(|it| {
            n_bytes += it.len() + 1;
            n_bytes <= LOG_TAIL_BYTES_MAX
        })
        .collect();
    kept.reverse();
    kept.join("\n")
}

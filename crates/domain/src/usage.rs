//! How long replicas run, which is what is billed: from ready until the last moment they were seen to live. What
//! nobody saw is not counted, so whatever is lost is lost by him who bills.
//!
//! While a replica lives, its recorded time follows in steps of [`BEAT`]; its end adds what is known since the last
//! one. Both only ever move on, and stay within what the clock of the control plane has passed.

use std::time::Duration;

use crate::ids::ReplicaId;
use crate::reconcile::{Observation, World, by_mark, phase_of};
use crate::replica::{Exit, FailureCause, Intent, ReplicaPhase, ReplicaRow};
use crate::time::Timestamp;

/// How far the recorded time of a living replica may lag: half of what a crash may lose.
pub const BEAT: Duration = Duration::from_secs(5);

/// A replica was seen to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Replica that ran.
    pub replica: ReplicaId,
    /// Up to when it is known to have run.
    pub until: Timestamp,
}

/// What to record of the replicas that are seen to live, by replica: nothing until one of them lags by a [`BEAT`],
/// then all of them, so that many replicas are no more writes than one.
///
/// One process has one mark, so a replica that is seen again has lived since it was last seen, however long ago.
/// Quarantined endpoints, and observations that failed, are caught up with in this way.
pub fn beats(world: &World) -> Vec<Beat> {
    let Observation::Known(observed) = &world.observation else { return Vec::new() };
    let seen = by_mark(observed);
    let until = world.listed_at;
    let mut alive: Vec<(ReplicaId, Timestamp)> = world
        .endpoints
        .iter()
        .flat_map(|it| &it.replicas)
        .map(|it| &it.row)
        .filter(|row| !matches!(row.intent, Intent::Stop { .. }))
        .filter(|row| phase_of(row, &seen).is_some_and(is_alive))
        .filter_map(|row| Some((row.id, recorded(row)?)))
        .filter(|(_, recorded)| *recorded < until)
        .collect();
    if alive.iter().all(|(_, recorded)| until.since(*recorded) < BEAT) {
        return Vec::new();
    }
    alive.sort();
    alive.into_iter().map(|(replica, _)| Beat { replica, until }).collect()
}

/// Up to when a replica ran whose attempt ends now: it fails, or is told to stop. `None` if nothing is recorded of it.
///
/// Never before what is recorded, and never after `listed_at`, which is before whatever is recorded of its end.
pub fn ran_until(row: &ReplicaRow, phase: Option<&ReplicaPhase>, listed_at: Timestamp) -> Option<Timestamp> {
    let recorded = recorded(row)?;
    let known = match phase {
        Some(phase) if is_alive(phase) => listed_at,
        Some(ReplicaPhase::Exited(exit)) => end_of(exit).unwrap_or(recorded),
        // Nobody knows when its last process went, or whether it has: its supervisor is gone, or somebody else
        // told it to go, or there is no trace of it.
        Some(_) | None => recorded,
    };
    // The exit's time is its supervisor's, whose clock may have been set otherwise than ours.
    Some(known.min(listed_at).max(recorded))
}

/// Whether what is seen says that the process was there when it was listed.
fn is_alive(phase: &ReplicaPhase) -> bool {
    match phase {
        // A server that has just begun may not have asked it yet, and one that hangs holds its devices.
        ReplicaPhase::Launching { .. } | ReplicaPhase::Ready { .. } | ReplicaPhase::Unresponsive { .. } => {
            true
        }
        ReplicaPhase::Unstarted
        | ReplicaPhase::Stopping
        | ReplicaPhase::Orphaned
        | ReplicaPhase::Exited(_) => false,
    }
}

/// When the process ended, where its record says so.
fn end_of(exit: &Exit) -> Option<Timestamp> {
    match exit.cause {
        // Made up by who found it missing.
        FailureCause::SupervisorLost | FailureCause::Lost | FailureCause::HostRestarted => None,
        FailureCause::EngineExited
        | FailureCause::EngineKilled
        | FailureCause::OutOfMemory
        | FailureCause::DeviceOutOfMemory
        | FailureCause::ModelUnusable
        | FailureCause::EngineLacksGpu
        | FailureCause::SpawnFailed
        | FailureCause::StartupDeadline
        | FailureCause::Unresponsive
        | FailureCause::ProcessLimit
        | FailureCause::DiskLimit
        | FailureCause::DeviceLost
        | FailureCause::Stopped => Some(exit.at),
    }
}

/// Up to when its time is recorded; `None` where none is.
fn recorded(row: &ReplicaRow) -> Option<Timestamp> {
    Some(row.ran_until?.max(row.ready_at?))
}

/// A stretch of time, without its last moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
}

/// What is recorded of one replica.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ran {
    /// When it was ready.
    pub from: Timestamp,
    /// Up to when it ran.
    pub until: Timestamp,
    /// Its price, all its devices together.
    pub cents_per_minute: f64,
}

/// What replicas ran, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// How many there were.
    pub n_replicas: u64,
    /// For how long, one after the other.
    pub ran: Duration,
    /// What that costs.
    pub cents: f64,
}

impl Usage {
    /// Adds the part of a replica's time that lies in the period, if there is any or it became ready in it.
    pub fn add(&mut self, ran: &Ran, period: Period) {
        let part = ran.until.min(period.to).since(ran.from.max(period.from));
        let is_new = period.from <= ran.from && ran.from < period.to;
        if part.is_zero() && !is_new {
            return;
        }
        self.n_replicas = self.n_replicas.saturating_add(1);
        self.ran = self.ran.saturating_add(part);
        self.cents += part.as_secs_f64() / 60.0 * ran.cents_per_minute;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::end_reason::EndReason;
    use crate::reconcile::ReplicaView;
    use crate::reconcile::tests::{NOW, endpoint, launching, ready, replica, seen, world};

    fn exited(cause: FailureCause, at: i64) -> ReplicaPhase {
        let at = Timestamp(at);
        ReplicaPhase::Exited(Exit { code: None, signal: None, cause, at, log_tail: Vec::new() })
    }

    fn unresponsive() -> ReplicaPhase {
        let ReplicaPhase::Ready { address } = ready() else { unreachable!() };
        ReplicaPhase::Unresponsive { since: NOW, address }
    }

    /// A running replica whose time is recorded up to so many milliseconds before the list.
    fn lagging(n: u128, by_ms: i64) -> ReplicaView {
        let mut it = replica(n, Intent::Run);
        it.row.ran_until = Some(Timestamp(NOW.0 - by_ms));
        it
    }

    /// Who is credited, given replicas and what is seen of each.
    fn credited(shown: Vec<(ReplicaView, Option<ReplicaPhase>)>) -> Vec<ReplicaId> {
        let mut view = endpoint(1, 2);
        let mut observed = Vec::new();
        for (n, (it, phase)) in shown.into_iter().enumerate() {
            let n = u128::try_from(n).unwrap() + 1;
            observed.extend(phase.map(|phase| seen(n, n, phase)));
            view.replicas.push(it);
        }
        let beats = beats(&world(view, observed));
        assert!(beats.iter().all(|it| it.until == NOW), "{beats:?}");
        beats.into_iter().map(|it| it.replica).collect()
    }

    fn is_credited(it: ReplicaView, phase: Option<ReplicaPhase>) -> bool {
        !credited(vec![(it, phase)]).is_empty()
    }

    #[test]
    fn who_is_seen_to_live_is_credited_and_nobody_else() {
        let draining = || {
            let mut it = lagging(1, 60_000);
            it.row.intent = Intent::Drain { since: NOW, reason: EndReason::StopRequested };
            it
        };
        for phase in [ready(), unresponsive(), launching()] {
            assert!(is_credited(lagging(1, 60_000), Some(phase.clone())), "{phase:?}");
            assert!(is_credited(draining(), Some(phase)));
        }
        let gone = exited(FailureCause::EngineExited, NOW.0);
        for phase in [ReplicaPhase::Stopping, ReplicaPhase::Orphaned, ReplicaPhase::Unstarted, gone] {
            assert!(!is_credited(lagging(1, 60_000), Some(phase.clone())), "{phase:?}");
        }
        assert!(!is_credited(lagging(1, 60_000), None));
        let mut stopping = lagging(1, 60_000);
        stopping.row.intent = Intent::Stop { since: NOW, reason: EndReason::StopRequested };
        assert!(!is_credited(stopping, Some(ready())));
        let mut unready = lagging(1, 60_000);
        (unready.row.ready_at, unready.row.ran_until) = (None, None);
        assert!(!is_credited(unready, Some(launching())));
    }

    #[test]
    fn another_process_under_its_id_and_an_unknown_look_credit_nothing() {
        let mut view = endpoint(1, 1);
        view.replicas.push(lagging(1, 60_000));
        assert!(beats(&world(view.clone(), vec![seen(1, 2, ready())])).is_empty());
        let mut unknown = world(view, vec![seen(1, 1, ready())]);
        assert_eq!(beats(&unknown).len(), 1);
        unknown.observation = Observation::Unknown;
        assert!(beats(&unknown).is_empty());
    }

    #[test]
    fn nothing_is_written_before_a_beat_and_all_are_then() {
        let beat = i64::try_from(BEAT.as_millis()).unwrap();
        let both = |first, second| {
            credited(vec![(lagging(1, first), ready().into()), (lagging(2, second), ready().into())])
        };
        assert!(both(beat - 1, 1).is_empty());
        assert_eq!(both(beat, 1).len(), 2);
        // Recorded up to here already, or by a clock that was ahead.
        assert_eq!(both(beat, 0).len(), 1);
        assert!(both(-1, i64::MIN / 2).is_empty());
    }

    #[test]
    fn an_end_is_what_is_known_of_it() {
        let row = lagging(1, 60_000).row;
        let last = row.ran_until;
        let end = |phase: Option<ReplicaPhase>| ran_until(&row, phase.as_ref(), NOW);
        for phase in [ready(), unresponsive(), launching()] {
            assert_eq!(end(Some(phase)), Some(NOW));
        }
        for phase in [ReplicaPhase::Stopping, ReplicaPhase::Orphaned, ReplicaPhase::Unstarted] {
            assert_eq!(end(Some(phase)), last);
        }
        assert_eq!(end(None), last);
        let exit = |cause, at| end(Some(exited(cause, at)));
        let at = NOW.0 - 20_000;
        assert_eq!(exit(FailureCause::EngineKilled, at), Some(Timestamp(at)));
        assert_eq!(exit(FailureCause::Stopped, at), Some(Timestamp(at)));
        assert_eq!(exit(FailureCause::Lost, at), last);
        assert_eq!(exit(FailureCause::HostRestarted, at), last);
    }

    #[test]
    fn no_clock_takes_time_back_or_adds_some() {
        let row = lagging(1, 60_000).row;
        let exit = |at| exited(FailureCause::EngineExited, at);
        assert_eq!(ran_until(&row, Some(&exit(i64::MAX)), NOW), Some(NOW));
        assert_eq!(ran_until(&row, Some(&exit(i64::MIN)), NOW), row.ran_until);
        assert_eq!(ran_until(&row, Some(&ready()), Timestamp(i64::MIN)), row.ran_until);
        let mut early = row.clone();
        (early.ready_at, early.ran_until) = (Some(Timestamp(7)), Some(Timestamp(3)));
        assert_eq!(ran_until(&early, None, NOW), Some(Timestamp(7)));
        early.ran_until = None;
        assert_eq!(ran_until(&early, Some(&ready()), NOW), None);
        early.ran_until = Some(Timestamp(3));
        early.ready_at = None;
        assert_eq!(ran_until(&early, Some(&ready()), NOW), None);
    }

    fn sum(ran: &[(i64, i64)], (from, to): (i64, i64)) -> Usage {
        let mut sum = Usage::default();
        let period = Period { from: Timestamp(from), to: Timestamp(to) };
        for (from, until) in ran {
            let ran = Ran { from: Timestamp(*from), until: Timestamp(*until), cents_per_minute: 3.0 };
            sum.add(&ran, period);
        }
        sum
    }

    #[test]
    fn a_sum_has_what_lies_in_its_period() {
        let minute = 60_000;
        let ran = [(minute, 3 * minute), (2 * minute, 6 * minute)];
        let all = sum(&ran, (0, 10 * minute));
        assert_eq!((all.n_replicas, all.ran), (2, Duration::from_secs(6 * 60)));
        assert!((all.cents - 18.0).abs() < 1e-9, "{all:?}");
        let part = sum(&ran, (150_000, 5 * minute));
        assert_eq!((part.n_replicas, part.ran), (2, Duration::from_secs(30 + 150)));
        assert_eq!(sum(&ran, (3 * minute, 4 * minute)).n_replicas, 1);
        assert_eq!(sum(&ran, (6 * minute, 9 * minute)), Usage::default());
        assert_eq!(sum(&ran, (0, minute)), Usage::default());
    }

    #[test]
    fn periods_that_touch_share_no_time_and_none_is_negative() {
        let ran = [(10, 30)];
        let ms = |from, to| sum(&ran, (from, to)).ran.as_millis();
        assert_eq!(ms(0, 17) + ms(17, 100), 20);
        assert_eq!(ms(i64::MIN, i64::MAX), 20);
        assert_eq!(ms(25, 15), 0);
        assert_eq!(sum(&[(30, 10)], (0, 100)).ran, Duration::ZERO);
        let short = sum(&[(10, 10)], (0, 100));
        assert_eq!((short.n_replicas, short.ran), (1, Duration::ZERO));
    }
}

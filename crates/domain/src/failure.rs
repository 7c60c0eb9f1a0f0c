//! What past failures mean for the next try. Derived from the recorded attempts each time; nothing counts
//! up in memory, so a restart of the server changes no verdict.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::EndpointId;
use crate::replica::FailureCause;
use crate::time::Timestamp;

/// One ended attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Number of the attempt.
    pub attempt: u32,
    /// Why it ended.
    pub cause: FailureCause,
    /// Time of the failure.
    pub at: Timestamp,
    /// How long it had been ready before; zero if it never was.
    pub ready_for: Duration,
    /// Exit code, signal and last log line in a short clause.
    pub detail: String,
}

/// Numbers of the back-off.
#[derive(Clone, Copy, Debug)]
pub struct BackoffSettings {
    /// Wait after the first failure; doubles with each.
    pub base: Duration,
    /// Longest wait.
    pub cap: Duration,
    /// Failures within `window` that make it an ERROR.
    pub failures_max: u32,
    /// The window those are counted in.
    pub window: Duration,
    /// A replica that was ready this long forgives what was before.
    pub healthy_after: Duration,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(300),
            failures_max: 5,
            window: Duration::from_secs(600),
            healthy_after: Duration::from_secs(600),
        }
    }
}

/// What the failures so far say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// None that counts.
    Clean,
    /// Some; the next try waits.
    BackingOff {
        /// Not before this.
        retry_at: Timestamp,
        /// How many in a row; ends of one moment are one.
        n_failures: u32,
    },
    /// Too many, or one that trying again cannot mend.
    Broken {
        /// When it is tried again all the same; `None` waits for the user.
        retry_at: Option<Timestamp>,
        /// How many in a row; ends of one moment are one.
        n_failures: u32,
    },
}

impl Verdict {
    /// Whether a launch is allowed now.
    pub fn allows_launch(&self, now: Timestamp) -> bool {
        match self {
            Self::Clean => true,
            Self::BackingOff { retry_at, .. } => now >= *retry_at,
            Self::Broken { retry_at, .. } => retry_at.is_some_and(|it| now >= it),
        }
    }

    /// When it is tried again; `None` with nothing to try again, or before the user acts.
    pub fn retry_at(&self) -> Option<Timestamp> {
        match self {
            Self::Clean => None,
            Self::BackingOff { retry_at, .. } => Some(*retry_at),
            Self::Broken { retry_at, .. } => *retry_at,
        }
    }

    /// How many times in a row it failed, where it did.
    pub fn n_failures(&self) -> Option<u32> {
        match self {
            Self::Clean => None,
            Self::BackingOff { n_failures, .. } | Self::Broken { n_failures, .. } => Some(*n_failures),
        }
    }
}

/// Judges `failures` (oldest first) of an endpoint started at `started_at`.
pub fn verdict(
    endpoint: EndpointId,
    failures: &[Failure],
    started_at: Timestamp,
    settings: &BackoffSettings,
) -> Verdict {
    let counted: Vec<&Failure> =
        failures.iter().filter(|it| it.at >= started_at && it.cause.counts()).collect();
    // The row of failures that no healthy stretch interrupts: what the last one's back-off grows with.
    let in_a_row = counted
        .iter()
        .rposition(|it| it.ready_for >= settings.healthy_after)
        .map_or(counted.as_slice(), |at| counted.get(at..).unwrap_or_default());
    let Some(last) = in_a_row.last() else { return Verdict::Clean };
    // Shorter than any wait before the next launch: what was launched after a failure and fails counts anew.
    let moment = ONE_MOMENT.min(settings.base * 4 / 5);
    let times = |from: usize| n_moments(in_a_row.iter().skip(from).map(|it| it.at), moment);
    let n_failures = times(0);
    if last.cause.is_terminal() {
        return Verdict::Broken { retry_at: None, n_failures };
    }
    let retry_at = last.at.plus(delay(endpoint, n_failures, settings));
    let n_old = in_a_row.iter().filter(|it| last.at.since(it.at) > settings.window).count();
    if times(n_old) >= settings.failures_max {
        // Tried again at the longest wait: what broke it may have been mended outside.
        Verdict::Broken { retry_at: Some(last.at.plus(settings.cap)), n_failures }
    } else {
        Verdict::BackingOff { retry_at, n_failures }
    }
}

/// Ends within ten minutes that are followed by the next launch at once, though they came early: more than anybody
/// makes by hand, with `dedi down`.
const EARLY_ENDS_FREE: u32 = 10;
/// Ends this close together have one cause and count as one: all replicas of an endpoint end in one `dedi down`, or by
/// one that kills all their engines.
const ONE_MOMENT: Duration = Duration::from_secs(1);
/// A replica that was ready this long was worth its launch.
const WORTH_ITS_LAUNCH: Duration = Duration::from_secs(60);

/// Not before this may the next launch be, because what is not held against the endpoint ends its replicas again and
/// again soon after they start: something outside that kills supervisors, or a device that comes and goes. Never an
/// ERROR, and `None` for what happens now and then.
pub fn pause(
    endpoint: EndpointId,
    failures: &[Failure],
    started_at: Timestamp,
    settings: &BackoffSettings,
) -> Option<Timestamp> {
    let others = || failures.iter().filter(|it| it.at >= started_at && !it.cause.counts());
    let last = others().next_back()?;
    let is_early = |it: &&Failure| it.ready_for < WORTH_ITS_LAUNCH && last.at.since(it.at) <= settings.window;
    let n_early = n_moments(others().rev().take_while(is_early).map(|it| it.at), ONE_MOMENT);
    let n_over = n_early.saturating_sub(EARLY_ENDS_FREE);
    (n_over > 0).then(|| last.at.plus(delay(endpoint, n_over, settings)))
}

/// How many moments of this length it takes for all of `ends`, which are in order, forward or back.
fn n_moments(ends: impl Iterator<Item = Timestamp>, length: Duration) -> u32 {
    let mut n = 0_u32;
    let mut first: Option<Timestamp> = None;
    for at in ends {
        if first.is_none_or(|first| first.since(at).max(at.since(first)) >= length) {
            n = n.saturating_add(1);
            first = Some(at);
        }
    }
    n
}

/// `base * 2^(n-1)` up to the cap, less up to a fifth of it: a jitter drawn from the endpoint's id, so that
/// endpoints broken by one cause do not all come back in the same second.
fn delay(endpoint: EndpointId, n_failures: u32, settings: &BackoffSettings) -> Duration {
    let doubled = settings.base.saturating_mul(2_u32.saturating_pow(n_failures.saturating_sub(1)));
    let full = doubled.min(settings.cap);
    let draw =
        endpoint.uuid().as_u128().wrapping_add(u128::from(n_failures)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let share = u32::try_from((draw >> 32) & 0xff).unwrap_or(0);
    full - full / 5 * share / 255
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn failed(at_secs: i64, cause: FailureCause) -> Failure {
        Failure {
            attempt: 1,
            cause,
            at: Timestamp(at_secs * 1000),
            ready_for: Duration::ZERO,
            detail: String::new(),
        }
    }

    fn judge(failures: &[Failure]) -> Verdict {
        verdict(EndpointId::from_uuid(Uuid::nil()), failures, Timestamp(0), &BackoffSettings::default())
    }

    #[test]
    fn waits_double_and_five_within_ten_minutes_are_an_error() {
        let all: Vec<Failure> = [0, 2, 5, 10, 20].map(|at| failed(at, FailureCause::EngineExited)).into();
        let mut waits = Vec::new();
        for n in 1..=4 {
            match judge(&all[..n]) {
                Verdict::BackingOff { retry_at, .. } => waits.push(retry_at.since(all[n - 1].at).as_millis()),
                other @ (Verdict::Clean | Verdict::Broken { .. }) => panic!("{other:?}"),
            }
        }
        for (wait, full) in waits.iter().zip([1_000, 2_000, 4_000, 8_000]) {
            assert!((full * 4 / 5..=full).contains(wait), "{waits:?}");
        }
        assert_eq!(judge(&all), Verdict::Broken { retry_at: Some(Timestamp(320_000)), n_failures: 5 });
    }

    #[test]
    fn replicas_that_end_in_one_moment_have_failed_once() {
        // Five engines killed at once, as they are noticed.
        let at_once = |from_ms: i64| {
            let each = [0, 1, 40, 400, 799]
                .map(|ms| Failure { at: Timestamp(from_ms + ms), ..failed(0, FailureCause::EngineKilled) });
            each.to_vec()
        };
        let mut all = at_once(1_000);
        let Verdict::BackingOff { retry_at, n_failures: 1 } = judge(&all) else {
            panic!("{:?}", judge(&all))
        };
        let wait = retry_at.since(all[4].at);
        assert!(wait >= Duration::from_millis(800) && wait <= Duration::from_secs(1), "{wait:?}");
        // What is launched after it and fails at once is another failure, however soon.
        all.push(Failure { at: retry_at, ..failed(0, FailureCause::SpawnFailed) });
        assert!(matches!(judge(&all), Verdict::BackingOff { n_failures: 2, .. }), "{:?}", judge(&all));
        // The fifth time is an error, whatever the number of replicas.
        let all: Vec<Failure> = (0..5).flat_map(|n| at_once(n * 20_000)).collect();
        assert!(matches!(judge(&all[..20]), Verdict::BackingOff { n_failures: 4, .. }));
        assert!(matches!(judge(&all), Verdict::Broken { retry_at: Some(_), n_failures: 5 }));
    }

    #[test]
    fn a_damaged_model_is_not_tried_again_until_the_user_says_so() {
        let all = [failed(1, FailureCause::ModelUnusable)];
        assert_eq!(judge(&all), Verdict::Broken { retry_at: None, n_failures: 1 });
        let id = EndpointId::from_uuid(Uuid::nil());
        assert_eq!(verdict(id, &all, Timestamp(2_000), &BackoffSettings::default()), Verdict::Clean);
    }

    #[test]
    fn ten_healthy_minutes_forgive_and_a_host_restart_does_not_count() {
        let mut healthy = failed(1_000, FailureCause::EngineKilled);
        healthy.ready_for = Duration::from_secs(900);
        let all = [failed(1, FailureCause::EngineExited), failed(2, FailureCause::EngineExited), healthy];
        assert!(matches!(judge(&all), Verdict::BackingOff { n_failures: 1, .. }));
        assert_eq!(judge(&[failed(1, FailureCause::HostRestarted)]), Verdict::Clean);
    }

    fn paused(failures: &[Failure]) -> Option<Duration> {
        let id = EndpointId::from_uuid(Uuid::nil());
        let until = pause(id, failures, Timestamp(0), &BackoffSettings::default())?;
        Some(until.since(failures.last().unwrap().at))
    }

    #[test]
    fn what_ends_replicas_again_and_again_delays_the_next_launch_but_is_no_error() {
        // Six times by hand within a minute, on four replicas each time.
        let by_hand: Vec<Failure> =
            (0..24).map(|n| failed(i64::from(n / 4) * 10, FailureCause::Stopped)).collect();
        assert_eq!(paused(&by_hand), None);
        // Something outside, each two seconds.
        let mut outside: Vec<Failure> = (0..10).map(|n| failed(n * 2, FailureCause::Stopped)).collect();
        assert_eq!(paused(&outside), None);
        let mut waits = Vec::new();
        for _ in 0..4 {
            let at = outside.last().unwrap().at.0 / 1_000 + 20;
            outside.push(failed(at, FailureCause::DeviceLost));
            waits.push(paused(&outside).unwrap().as_millis());
            assert_eq!(judge(&outside), Verdict::Clean);
        }
        for (wait, full) in waits.iter().zip([1_000, 2_000, 4_000, 8_000]) {
            assert!((full * 4 / 5..=full).contains(wait), "{waits:?}");
        }
        // A replica that served meanwhile ends the row, and so does time.
        outside.last_mut().unwrap().ready_for = Duration::from_secs(60);
        assert_eq!(paused(&outside), None);
        outside.push(failed(2_000, FailureCause::Stopped));
        assert_eq!(paused(&outside), None);
    }

    #[test]
    fn whatever_ends_its_replicas_an_endpoint_is_launched_a_bounded_number_of_times() {
        for cause in FailureCause::ALL {
            let mut failures: Vec<Failure> = Vec::new();
            let (mut now, id) = (0_i64, EndpointId::from_uuid(Uuid::nil()));
            let settings = BackoffSettings::default();
            let mut n_launches = 0;
            // An hour, looked at twice a second; each launch ends half a second later.
            while now < 3_600_000 {
                now += 500;
                let judged = verdict(id, &failures, Timestamp(0), &settings);
                let pause = pause(id, &failures, Timestamp(0), &settings);
                if judged.allows_launch(Timestamp(now)) && pause.is_none_or(|it| Timestamp(now) >= it) {
                    n_launches += 1;
                    failures.push(Failure { at: Timestamp(now + 500), ..failed(0, cause) });
                    now += 500;
                }
            }
            assert!(n_launches <= 150, "{cause:?}: {n_launches} launches in an hour");
        }
    }
}

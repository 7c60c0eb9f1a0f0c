//! What becomes of a request for an endpoint that has no ready replica: it waits, comes back later, or is refused
//! because somebody has to act first. One table for all of them; the gateway adds only its clock.

use std::time::Duration;

use crate::endpoint::EndpointState;
use crate::status::ReasonCode;
use crate::time::Timestamp;

/// Whether a replica will come by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// One is on its way, or comes as soon as there is room for it. `by` is a guess from what is done so far.
    Coming {
        /// When it is expected.
        by: Option<Timestamp>,
    },
    /// The next try is made then.
    NotBefore(Timestamp),
    /// It goes on by itself once something outside has changed, such as a disk that is mounted. Nobody knows when.
    Blocked,
    /// Not before somebody acts.
    Halted,
}

/// What a request does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It waits.
    Hold,
    /// It is answered at once, to be repeated after this time.
    Later(Duration),
    /// It is refused, and repeating it does not help.
    Refuse,
}

/// When to come back to what is [`Prospect::Blocked`]: often enough to notice, too seldom to be a load.
const BLOCKED_RETRY: Duration = Duration::from_secs(30);
/// When to come back after a wait that nothing is known of.
const RETRY: Duration = Duration::from_secs(5);
/// Longest a client is told to stay away. What is further off may well change before.
const RETRY_MAX: Duration = Duration::from_secs(300);

impl Prospect {
    /// Of an endpoint in `state` for the reason `code`. `is_wanted` says whether replicas are wanted at all,
    /// `next_try` when a failed one is tried again by itself.
    pub fn of(
        state: EndpointState,
        is_wanted: bool,
        code: ReasonCode,
        next_try: Option<Timestamp>,
        by: Option<Timestamp>,
    ) -> Self {
        if !is_wanted {
            return Self::Halted;
        }
        let coming = Self::Coming { by };
        match state {
            // Told to start again meanwhile: it does so by itself.
            EndpointState::Stopping | EndpointState::Stopped | EndpointState::Starting => coming,
            EndpointState::Pending | EndpointState::Started if waits_for_others(code) => Self::Blocked,
            EndpointState::Pending | EndpointState::Started => next_try.map_or(coming, Self::NotBefore),
            EndpointState::Error => next_try.map_or(Self::Halted, Self::NotBefore),
        }
    }

    /// What a request does that comes `now` and may wait for `limit`.
    pub fn wait(self, now: Timestamp, limit: Duration) -> Wait {
        match self {
            Self::Coming { .. } if !limit.is_zero() => Wait::Hold,
            // One whose time has come waits for devices.
            Self::NotBefore(at) if !limit.is_zero() && at <= now.plus(limit) => Wait::Hold,
            Self::Coming { .. } | Self::NotBefore(_) | Self::Blocked => Wait::Later(self.retry_after(now)),
            Self::Halted => Wait::Refuse,
        }
    }

    /// When it is worth coming back.
    pub fn retry_after(self, now: Timestamp) -> Duration {
        let until = |at: Timestamp| at.since(now).clamp(Duration::from_secs(1), RETRY_MAX);
        match self {
            Self::Coming { by: Some(at) } | Self::NotBefore(at) if at > now => until(at),
            Self::Coming { .. } | Self::NotBefore(_) => RETRY,
            Self::Blocked | Self::Halted => BLOCKED_RETRY,
        }
    }
}

/// Whether something outside has to change first, though nobody has to tell dedi of it.
fn waits_for_others(code: ReasonCode) -> bool {
    matches!(
        code,
        ReasonCode::HardwareMissing
            | ReasonCode::ModelAbsent
            | ReasonCode::ModelUnreadable
            | ReasonCode::Unrecorded
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const LIMIT: Duration = Duration::from_secs(50);

    fn wait(state: EndpointState, is_wanted: bool, code: ReasonCode, next_try_secs: Option<i64>) -> Wait {
        let next_try = next_try_secs.map(|it| Timestamp(NOW.0 + it * 1_000));
        Prospect::of(state, is_wanted, code, next_try, None).wait(NOW, LIMIT)
    }

    #[test]
    fn prospect_every_state_and_reason_has_its_answer() {
        use EndpointState::{Error, Pending, Started, Starting, Stopped, Stopping};
        let later = |secs| Wait::Later(Duration::from_secs(secs));
        let rows = [
            // dedi is at it.
            (Pending, true, ReasonCode::Accepted, None, Wait::Hold),
            (Pending, true, ReasonCode::Downloading, None, Wait::Hold),
            (Pending, true, ReasonCode::Checking, None, Wait::Hold),
            (Pending, true, ReasonCode::DrainingPrevious, None, Wait::Hold),
            (Pending, true, ReasonCode::Unobserved, None, Wait::Hold),
            (Starting, true, ReasonCode::Launching, None, Wait::Hold),
            (Starting, true, ReasonCode::Loading, None, Wait::Hold),
            (Starting, true, ReasonCode::EngineKilled, None, Wait::Hold),
            (Starting, true, ReasonCode::Loading, Some(400), Wait::Hold), // another replica's next try
            (Started, true, ReasonCode::Ready, None, Wait::Hold),         // the last one went a moment ago
            (Started, true, ReasonCode::Asleep, None, Wait::Hold),
            (Started, true, ReasonCode::Scaling, None, Wait::Hold),
            (Stopping, true, ReasonCode::Draining, None, Wait::Hold), // it was started again
            (Stopped, true, ReasonCode::Accepted, None, Wait::Hold),
            // Devices may be given back at any moment.
            (Pending, true, ReasonCode::NoCapacity, None, Wait::Hold),
            (Pending, true, ReasonCode::WaitingTurn, None, Wait::Hold),
            (Pending, true, ReasonCode::MemoryInUse, None, Wait::Hold),
            // It is tried again: soon enough to wait for, or not.
            (Pending, true, ReasonCode::BackingOff, Some(20), Wait::Hold),
            (Pending, true, ReasonCode::BackingOff, Some(50), Wait::Hold),
            (Pending, true, ReasonCode::BackingOff, Some(51), later(51)),
            (Pending, true, ReasonCode::BackingOff, Some(-1), Wait::Hold),
            (Pending, true, ReasonCode::DownloadFailed, Some(10), Wait::Hold),
            (Pending, true, ReasonCode::DownloadFailed, Some(100), later(100)),
            (Started, true, ReasonCode::Degraded, Some(90), later(90)),
            (Error, true, ReasonCode::EngineExited, Some(30), Wait::Hold),
            (Error, true, ReasonCode::EngineExited, Some(200), later(200)),
            (Error, true, ReasonCode::EngineExited, Some(4_000), later(300)),
            // Something outside has to change, and is looked at all the time.
            (Pending, true, ReasonCode::HardwareMissing, None, later(30)),
            (Pending, true, ReasonCode::ModelAbsent, None, later(30)),
            (Pending, true, ReasonCode::ModelUnreadable, None, later(30)),
            (Pending, true, ReasonCode::Unrecorded, None, later(30)),
            // Somebody has to act.
            (Error, true, ReasonCode::ModelUnusable, None, Wait::Refuse),
            (Stopped, false, ReasonCode::StoppedByUser, None, Wait::Refuse),
            (Stopped, false, ReasonCode::StoppedInactive, None, Wait::Refuse),
            (Stopping, false, ReasonCode::Draining, None, Wait::Refuse),
            (Started, false, ReasonCode::Ready, None, Wait::Refuse), // told to stop a moment ago
            (Pending, false, ReasonCode::Accepted, None, Wait::Refuse),
            (Error, false, ReasonCode::EngineExited, Some(5), Wait::Refuse),
        ];
        for (state, is_wanted, code, next_try, expected) in rows {
            assert_eq!(
                wait(state, is_wanted, code, next_try),
                expected,
                "{state} {code}, wanted: {is_wanted}, next try in {next_try:?} s"
            );
        }
    }

    #[test]
    fn prospect_without_a_wait_says_when_to_come_back() {
        let by = Some(Timestamp(NOW.0 + 12_500));
        let coming = Prospect::of(EndpointState::Starting, true, ReasonCode::Loading, None, by);
        assert_eq!(coming.wait(NOW, Duration::ZERO), Wait::Later(Duration::from_millis(12_500)));
        assert_eq!(coming.retry_after(Timestamp(NOW.0 + 20_000)), RETRY);
    }
}

//! What a user asked for. Desired state changes only through the API and the idle rule; the world follows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::hardware::HardwareId;
use crate::idle::IdleRule;
use crate::ids::{EndpointId, EndpointName, EngineKind, InvalidName, ModelName, Owner};
use crate::time::Timestamp;

/// The wire word for how an endpoint is doing. No other word is ever sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EndpointState {
    /// Accepted; waits for hardware or for its next try.
    Pending,
    /// Holds hardware; at least one replica is being launched and none is ready.
    Starting,
    /// At least one replica answers, or it is asleep with `min_replicas` 0 and wakes on a request.
    Started,
    /// Told to stop; processes still exist or no pass has confirmed that none does.
    Stopping,
    /// Nothing runs and nothing is held.
    Stopped,
    /// It failed; the reason and the next try are in `status`.
    Error,
}

impl EndpointState {
    /// All six, in the order of a life.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Starting, Self::Started, Self::Stopping, Self::Stopped, Self::Error];

    /// The wire word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Starting => "STARTING",
            Self::Started => "STARTED",
            Self::Stopping => "STOPPING",
            Self::Stopped => "STOPPED",
            Self::Error => "ERROR",
        }
    }

    /// Whether a client may see `next` right after this state. The one place where that is said.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Pending => matches!(next, Self::Starting | Self::Stopping | Self::Error),
            Self::Starting => matches!(next, Self::Started | Self::Stopping | Self::Error | Self::Pending),
            Self::Started => matches!(next, Self::Stopping | Self::Starting | Self::Error),
            Self::Stopping => matches!(next, Self::Stopped | Self::Pending),
            Self::Stopped => matches!(next, Self::Pending),
            Self::Error => matches!(next, Self::Pending | Self::Stopping),
        }
    }

    /// The next state to show on the way to `goal`: `goal` itself where that is allowed, else the one
    /// between them. Repeating it always arrives.
    pub fn step_towards(self, goal: Self) -> Self {
        if self == goal || self.may_become(goal) {
            return goal;
        }
        match (self, goal) {
            (Self::Pending, Self::Started) => Self::Starting,
            (Self::Started, Self::Pending) => Self::Starting,
            (Self::Pending | Self::Starting | Self::Started | Self::Error, Self::Stopped) => Self::Stopping,
            (Self::Stopping | Self::Stopped | Self::Error, _) => Self::Pending,
            (Self::Pending | Self::Starting | Self::Started, _) => goal,
        }
    }
}

impl fmt::Display for EndpointState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EndpointState {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::ALL
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or_else(|| InvalidName(format!("`{text}` is not an endpoint state")))
    }
}

/// Whether the endpoint is wanted up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Run {
    /// Replicas are wanted.
    Started,
    /// None is.
    Stopped,
}

/// How many replicas may run; `min <= max`, `max >= 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReplicaRange {
    min: u32,
    max: u32,
}

/// Most replicas one endpoint may ask for.
pub const REPLICAS_MAX: u32 = 1_024;

impl ReplicaRange {
    /// Checks both bounds.
    pub fn new(min: i64, max: i64) -> Result<Self, InvalidName> {
        if min < 0 {
            return Err(InvalidName(format!("min_replicas must be >= 0, got {min}")));
        }
        if max < 1 {
            return Err(InvalidName(format!("max_replicas must be >= 1, got {max}")));
        }
        if max > i64::from(REPLICAS_MAX) {
            return Err(InvalidName(format!("max_replicas must be <= {REPLICAS_MAX}, got {max}")));
        }
        if min > max {
            return Err(InvalidName(format!("min_replicas must be <= max_replicas, got {min} and {max}")));
        }
        match (u32::try_from(min), u32::try_from(max)) {
            (Ok(min), Ok(max)) => Ok(Self { min, max }),
            (Err(_), _) | (_, Err(_)) => Err(InvalidName("replica counts are out of range".to_owned())),
        }
    }

    /// Fewest replicas kept while started.
    pub fn min(self) -> u32 {
        self.min
    }

    /// Most replicas at once.
    pub fn max(self) -> u32 {
        self.max
    }
}

/// Why the desired run state is what it is; shown to users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunCause {
    /// A request said so.
    User,
    /// No inference for the whole inactivity timeout.
    Inactive,
}

/// The stored wish for one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// Which endpoint.
    pub id: EndpointId,
    /// Name that inference requests use.
    pub name: EndpointName,
    /// Who owns it.
    pub owner: Owner,
    /// Text for people; never used to find anything.
    pub display_name: String,
    /// What it serves.
    pub model: ModelName,
    /// What serves it.
    pub engine: EngineKind,
    /// What each replica runs on.
    pub hardware: HardwareId,
    /// Bounds of the replica count.
    pub replicas: ReplicaRange,
    /// Up or down.
    pub run: Run,
    /// Who said up or down.
    pub run_cause: RunCause,
    /// Set once by DELETE; the row goes when the last replica has gone.
    pub deleted: bool,
    /// Minutes without inference before it stops; `None` is never.
    pub inactive_timeout_minutes: Option<u32>,
    /// Where that comes from, and what it has done.
    pub idle: IdleRule,
    /// Zone asked for; only ever one this host has.
    pub availability_zone: Option<String>,
    /// Asked for steadier latency instead of speculative decoding.
    pub disable_speculative_decoding: bool,
    /// Counts changes of desired state, from 1.
    pub generation: u64,
    /// The last generation a pass has seen through.
    pub observed_generation: u64,
    /// The state last shown, moved only by [`EndpointState::step_towards`].
    pub published: EndpointState,
    /// When `published` last changed.
    pub published_at: Timestamp,
    /// When it was created.
    pub created_at: Timestamp,
    /// When `run` last became `Started`; failures before it no longer count.
    pub started_at: Timestamp,
}

impl Desired {
    /// Whether replicas are wanted at all.
    pub fn wants_replicas(&self) -> bool {
        !self.deleted && self.run == Run::Started
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_reaches_every_other_by_allowed_steps_only() {
        for from in EndpointState::ALL {
            for goal in EndpointState::ALL {
                let mut at = from;
                for _ in 0..4 {
                    let next = at.step_towards(goal);
                    assert!(next == at || at.may_become(next), "{at} -> {next} on the way to {goal}");
                    at = next;
                }
                assert_eq!(at, goal, "from {from}");
            }
        }
    }

    #[test]
    fn a_range_names_the_bound_that_was_broken() {
        let said = |min, max| ReplicaRange::new(min, max).unwrap_err().to_string();
        assert_eq!(said(2, 1), "min_replicas must be <= max_replicas, got 2 and 1");
        assert_eq!(said(0, 0), "max_replicas must be >= 1, got 0");
        assert_eq!(said(-1, 1), "min_replicas must be >= 0, got -1");
        assert_eq!(said(1, 1 << 31), "max_replicas must be <= 1024, got 2147483648");
    }
}

//! Why a replica is ended: the plan behind a drain, a stop and a removal, or the failure that came before.

use serde::{Deserialize, Serialize};

use crate::fetch::Fetch;
use crate::plural;
use crate::replica::FailureCause;
use crate::status::ReasonCode;

/// Why a replica drains, stops or is removed. Decided once and kept with the replica: one that drains for a reason
/// is later stopped and removed for the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum EndReason {
    /// The load asks for fewer replicas.
    ScaledDown {
        /// Replicas that ran.
        from: u32,
        /// Replicas wanted.
        to: u32,
    },
    /// More run than the endpoint may have since an update.
    MaxReplicasLowered {
        /// Replicas that ran.
        from: u32,
        /// Replicas allowed.
        to: u32,
    },
    /// A request stopped the endpoint.
    StopRequested,
    /// The endpoint was idle for its whole inactivity timeout.
    StoppedInactive,
    /// The endpoint was deleted.
    DeleteRequested,
    /// Before it was started, a device that was reserved for it became faulty, disappeared or could not be read.
    DeviceLost,
    /// Before it was started, its model began to be fetched from the hub.
    Downloading,
    /// Before it was started, its model's files changed and have to be read first.
    Checking,
    /// Before it was started, a download of its model failed.
    DownloadFailed,
    /// Before it was started, its model disappeared from the model store.
    ModelAbsent,
    /// Before it was started, its model's files became unreadable.
    ModelUnreadable,
    /// It failed.
    Failed {
        /// Classified cause of the failure.
        cause: FailureCause,
    },
    /// A process with the mark of this installation that no replica in the store has. Never stored.
    NoRecord,
    /// Decided by a version that did not store reasons.
    Unknown,
}

impl EndReason {
    /// Every reason but a failure; the numbers are examples.
    pub const PLANNED: [Self; 13] = [
        Self::ScaledDown { from: 2, to: 1 },
        Self::MaxReplicasLowered { from: 2, to: 1 },
        Self::StopRequested,
        Self::StoppedInactive,
        Self::DeleteRequested,
        Self::DeviceLost,
        Self::Downloading,
        Self::Checking,
        Self::DownloadFailed,
        Self::ModelAbsent,
        Self::ModelUnreadable,
        Self::NoRecord,
        Self::Unknown,
    ];

    /// The reason as programs match it: the code of the failure, or a word of its own. Listed in docs/reasons.md.
    pub fn code(self) -> &'static str {
        match self {
            Self::ScaledDown { .. } => "scaled_down",
            Self::MaxReplicasLowered { .. } => "max_replicas_lowered",
            Self::StopRequested => "stop_requested",
            Self::StoppedInactive => ReasonCode::StoppedInactive.as_str(),
            Self::DeleteRequested => "delete_requested",
            Self::DeviceLost => ReasonCode::DeviceLost.as_str(),
            Self::Downloading => ReasonCode::Downloading.as_str(),
            Self::Checking => ReasonCode::Checking.as_str(),
            Self::DownloadFailed => ReasonCode::DownloadFailed.as_str(),
            Self::ModelAbsent => ReasonCode::ModelAbsent.as_str(),
            Self::ModelUnreadable => ReasonCode::ModelUnreadable.as_str(),
            Self::Failed { cause } => ReasonCode::from(cause).as_str(),
            Self::NoRecord => "no_record",
            Self::Unknown => "unknown",
        }
    }

    /// The reason as a clause: `one replica fewer is wanted (2 -> 1)`.
    pub fn sentence(self) -> String {
        match self {
            Self::ScaledDown { from, to: 0 } => format!("no request needs a replica ({from} -> 0)"),
            Self::ScaledDown { from, to } => match from.saturating_sub(to) {
                1 => format!("one replica fewer is wanted ({from} -> {to})"),
                n => format!("{n} replicas fewer are wanted ({from} -> {to})"),
            },
            Self::MaxReplicasLowered { from, to } => {
                let running = plural::count(u64::from(from), "replica");
                format!("max_replicas was lowered to {to} while {running} ran")
            }
            Self::StopRequested => "a request stopped the endpoint".to_owned(),
            Self::StoppedInactive => "the endpoint had no request for its inactive_timeout".to_owned(),
            Self::DeleteRequested => "the endpoint was deleted".to_owned(),
            Self::DeviceLost => "a device reserved for it is faulty, missing or unreadable".to_owned(),
            Self::Downloading => "its model is being downloaded".to_owned(),
            Self::Checking => "its model's files changed and are being checked".to_owned(),
            Self::DownloadFailed => "its model could not be downloaded".to_owned(),
            Self::ModelAbsent => "its model is missing from the model store".to_owned(),
            Self::ModelUnreadable => "its model's files can't be read now".to_owned(),
            Self::Failed { cause } => cause.sentence().to_owned(),
            Self::NoRecord => "dedi has no record of this process".to_owned(),
            Self::Unknown => "an earlier version of dedi decided so and did not store why".to_owned(),
        }
    }
}

impl From<&Fetch> for EndReason {
    fn from(fetch: &Fetch) -> Self {
        match fetch {
            Fetch::Queued { .. } | Fetch::Running { .. } | Fetch::HeldOff { .. } => Self::Downloading,
            Fetch::CheckQueued { .. } | Fetch::Checking { .. } => Self::Checking,
            Fetch::Failed { .. } => Self::DownloadFailed,
            Fetch::Absent => Self::ModelAbsent,
            Fetch::Unreadable { .. } => Self::ModelUnreadable,
        }
    }
}

/// How the requests of a replica ended that is to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainOutcome {
    /// It never served, so there was nothing to wait for.
    NotNeeded,
    /// It finished them, and no more come.
    Finished,
    /// The drain timeout passed first; what still runs is cut.
    TimedOut,
    /// The replica ended by itself first.
    Interrupted(FailureCause),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn end_reasons_have_codes_of_their_own_and_survive_the_store() {
        let codes: BTreeSet<&str> = EndReason::PLANNED.iter().map(|it| it.code()).collect();
        assert_eq!(codes.len(), EndReason::PLANNED.len());
        let failures = FailureCause::ALL.into_iter().map(|cause| EndReason::Failed { cause });
        for reason in EndReason::PLANNED.into_iter().chain(failures) {
            let text = serde_json::to_string(&reason).unwrap();
            assert_eq!(serde_json::from_str::<EndReason>(&text).unwrap(), reason, "{text}");
        }
    }

    #[test]
    fn end_reasons_say_how_many_replicas_fewer_are_wanted() {
        let said = |from, to| EndReason::ScaledDown { from, to }.sentence();
        assert_eq!(said(2, 1), "one replica fewer is wanted (2 -> 1)");
        assert_eq!(said(4, 1), "3 replicas fewer are wanted (4 -> 1)");
        assert_eq!(said(1, 0), "no request needs a replica (1 -> 0)");
        assert_eq!(
            EndReason::MaxReplicasLowered { from: 3, to: 2 }.sentence(),
            "max_replicas was lowered to 2 while 3 replicas ran"
        );
    }
}

//! The output of a decision.

use crate::end_reason::{DrainOutcome, EndReason};
use crate::endpoint::EndpointState;
use crate::hardware::DeviceId;
use crate::ids::{EndpointId, Nonce, ReplicaId};
use crate::replica::FailureCause;

/// One thing to do. Store changes name the row they are about; each is safe to repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Store: write a new replica row that takes these devices.
    Reserve {
        /// For whom.
        endpoint: EndpointId,
        /// What it takes.
        devices: Vec<DeviceId>,
    },
    /// Runtime: make the replica's process exist.
    Spawn {
        /// Replica that the action concerns.
        replica: ReplicaId,
    },
    /// Store: the runtime has shown this replica.
    MarkSeen {
        /// Replica that the action concerns.
        replica: ReplicaId,
    },
    /// Store: it is ready for the first time.
    MarkReady {
        /// Replica that the action concerns.
        replica: ReplicaId,
    },
    /// Store: end the attempt with this cause and turn the row to [`Intent::Stop`].
    Fail {
        /// Replica that the action concerns.
        replica: ReplicaId,
        /// Cause of the failure.
        cause: FailureCause,
    },
    /// Store: turn the row to [`Intent::Drain`]; the next route table lacks it.
    Drain {
        /// Replica that the action concerns.
        replica: ReplicaId,
        /// Reason that is recorded and shown.
        reason: EndReason,
    },
    /// Store: turn the row to [`Intent::Stop`].
    Stop {
        /// Replica that the action concerns.
        replica: ReplicaId,
        /// Why; the same as it drained for, if it did.
        reason: EndReason,
        /// What became of its requests.
        drain: DrainOutcome,
    },
    /// Runtime: make its processes absent.
    Remove {
        /// Replica that the action concerns.
        replica: ReplicaId,
        /// The mark of the process that is meant.
        nonce: Nonce,
        /// Why; the row's reason, if there is a row.
        reason: EndReason,
    },
    /// Store: its processes are gone; device memory is awaited from now on.
    MarkGone {
        /// Replica that the action concerns.
        replica: ReplicaId,
    },
    /// Store: delete the row; its devices are free, but for what the action says of them.
    Release {
        /// Replica that the action concerns.
        replica: ReplicaId,
        /// Bytes still held on its devices when the wait for them ran out.
        leftover_bytes: u64,
        /// Those of its devices whose memory could not be measured up to then.
        unmeasured: Vec<DeviceId>,
    },
    /// Store: the endpoint was idle for its whole timeout; its run state becomes stopped.
    StopIdle {
        /// Endpoint that the action concerns.
        endpoint: EndpointId,
        /// The generation that this was decided on.
        generation: u64,
    },
    /// Store: show this state.
    Publish {
        /// Endpoint that the action concerns.
        endpoint: EndpointId,
        /// The state before.
        from: EndpointState,
        /// The state from now on.
        state: EndpointState,
        /// The generation that this pass saw.
        generation: u64,
    },
    /// Store: the deleted endpoint has no replica left; its row goes.
    Erase {
        /// Endpoint that the action concerns.
        endpoint: EndpointId,
    },
}

//! One running copy of a model: what the store says of it, and what the runtime sees of it.

use serde::{Deserialize, Serialize};

use crate::end_reason::EndReason;
pub use crate::failure_cause::FailureCause;
use crate::hardware::DeviceId;
use crate::ids::{EndpointId, NodeId, Nonce, ReplicaId};
use crate::launch::Address;
use crate::time::Timestamp;

/// What is to become of a replica. It only ever moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "intent", rename_all = "snake_case")]
pub enum Intent {
    /// It should exist and serve.
    Run,
    /// It takes no new requests and finishes those it has.
    Drain {
        /// When draining began.
        since: Timestamp,
        /// Reason to drain.
        reason: EndReason,
    },
    /// Its processes should be gone.
    Stop {
        /// When that was decided.
        since: Timestamp,
        /// Why; for one that drained before, why it drained.
        reason: EndReason,
    },
}

/// A replica as the store knows it. The row is written before anything is started and deleted after
/// everything is seen gone, so the devices it names are taken for exactly that long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaRow {
    /// Id of the replica.
    pub id: ReplicaId,
    /// Endpoint the replica belongs to.
    pub endpoint: EndpointId,
    /// Its process's mark.
    pub nonce: Nonce,
    /// Counts the endpoint's launches, from 1.
    pub attempt: u32,
    /// The devices it holds.
    pub devices: Vec<DeviceId>,
    /// What is to become of it.
    pub intent: Intent,
    /// Whether the runtime has ever shown it. One that was seen and is absent has been lost; one never
    /// seen has yet to be launched.
    pub seen: bool,
    /// When it was first seen ready.
    pub ready_at: Option<Timestamp>,
    /// Up to when its running time is recorded; `ready_at` at first, and `None` before it.
    pub ran_until: Option<Timestamp>,
    /// When the row was written.
    pub reserved_at: Timestamp,
    /// When the runtime's list first lacked it after its processes had existed: device memory is awaited.
    pub gone_at: Option<Timestamp>,
}

/// How a replica's processes are doing, as the runtime sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum ReplicaPhase {
    /// Its launch is written down and nothing was started with it yet. Whoever wrote it may have died, and what
    /// that one began may still turn up: it is begun again, or removed, and never taken to be gone.
    Unstarted,
    /// Started; not ready yet.
    Launching {
        /// When the process was started, or when it last showed progress, whichever is later.
        progress_at: Timestamp,
        /// Percent of the loading done, where the engine says.
        percent: Option<u8>,
    },
    /// Has generated a token and answers under this address.
    Ready {
        /// Address that the engine listens on.
        address: Address,
    },
    /// Was ready and does not answer probes.
    Unresponsive {
        /// When the first unanswered probe was sent.
        since: Timestamp,
        /// Where it answered before.
        address: Address,
    },
    /// Told to go; some process still exists.
    Stopping,
    /// Its supervisor is gone while engine processes may still live.
    Orphaned,
    /// No process is left; the record of how it ended is.
    Exited(Exit),
}

/// How a replica's engine ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code, where it exited by itself.
    pub code: Option<i32>,
    /// Signal number, where one ended it.
    pub signal: Option<i32>,
    /// The classified cause.
    pub cause: FailureCause,
    /// Time of the exit.
    pub at: Timestamp,
    /// The last lines it logged, oldest first; at most [`LOG_TAIL_LINES_MAX`].
    pub log_tail: Vec<String>,
}

/// Lines of log kept with a failure.
pub const LOG_TAIL_LINES_MAX: usize = 100;

/// What the runtime sees of one replica. A replica absent from the runtime's list has no process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedReplica {
    /// Which replica the process says it is.
    pub id: ReplicaId,
    /// The mark it carries.
    pub nonce: Nonce,
    /// The node that it is on.
    #[serde(default)]
    pub node: NodeId,
    /// How it is doing.
    pub phase: ReplicaPhase,
    /// The isolation level its engine was started at, where that is known.
    #[serde(default)]
    pub isolation: Option<u8>,
    /// What its engine said last instead of its first token, where it serves already.
    #[serde(default)]
    pub unready: Option<String>,
}

impl ObservedReplica {
    /// Whether any process of it may still exist.
    pub fn may_live(&self) -> bool {
        !matches!(self.phase, ReplicaPhase::Exited(_))
    }
}

//! The history of each endpoint: only added to, in the transaction of what it tells.

use async_trait::async_trait;
use dedi_domain::{EndpointId, Timestamp};

use super::error::StoreError;

/// Histories. Those of endpoints' changes are written with the change itself.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Up to `limit` events of an endpoint after event `after`, oldest first. The caller has looked the
    /// endpoint up within its tenant.
    async fn events(
        &self,
        endpoint: EndpointId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<EventRecord>, StoreError>;

    /// Adds an event that goes with no change; durable when the method returns.
    async fn note(
        &self,
        endpoint: EndpointId,
        kind: EventKind,
        message: &str,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Removes events older than `before`; answers how many went. It may leave some for the next time.
    async fn forget_events(&self, before: Timestamp) -> Result<u64, StoreError>;
}

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What an event tells of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum EventKind {
            $($(#[$doc])* $name,)*
        }

        impl EventKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word on the wire and in the store.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

event_kinds! {
    /// The endpoint was created.
    Created = "created",
    /// Its name, bounds or timeout were changed.
    Updated = "updated",
    /// It was told to start.
    StartRequested = "start_requested",
    /// It was told to stop.
    StopRequested = "stop_requested",
    /// It was told to go.
    DeleteRequested = "delete_requested",
    /// It was idle for its whole timeout.
    StoppedInactive = "stopped_inactive",
    /// It shows another state.
    StateChanged = "state_changed",
    /// A replica took its devices and is being launched.
    ReplicaLaunched = "replica_launched",
    /// A replica answers.
    ReplicaReady = "replica_ready",
    /// A replica failed.
    ReplicaFailed = "replica_failed",
    /// A replica takes no new requests.
    ReplicaDraining = "replica_draining",
    /// A replica is being ended.
    ReplicaStopping = "replica_stopping",
    /// A replica is gone and its devices are free.
    ReplicaReleased = "replica_released",
    /// dedi can't decide about it, and leaves it as it is.
    SetAside = "set_aside",
    /// Its model in the store is another than it was created with.
    ModelChanged = "model_changed",
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// Grows.
    pub id: i64,
    /// Wall-clock time of the event.
    pub at: Timestamp,
    /// Name of the kind, as stored.
    pub kind: String,
    /// The replica it is about, if one.
    pub replica: Option<String>,
    /// A sentence.
    pub message: String,
}

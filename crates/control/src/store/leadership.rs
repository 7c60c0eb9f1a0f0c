//! Which server's passes may write. Two servers may look at a store at once; the passes of one of them only are recorded.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::error::StoreError;

/// Counts the times that somebody took the lead of a store. It only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The lead of a store, as one handle to it has it. A handle that never took the lead has none: its passes are refused.
/// What requests write is compared row by row instead, so any server may write that.
#[async_trait]
pub trait Leadership: Send + Sync {
    /// Takes the lead for this handle, whoever had it: begins the next epoch, durably. From here on every write of a pass
    /// by another handle is [`StoreError::Fenced`], also one that had begun before and is not yet committed.
    async fn lead(&self) -> Result<Epoch, StoreError>;

    /// Whether what is written through this handle is kept at all, as far as can be said without writing:
    /// [`StoreError::Gone`] where the store it has open is not the one that the next server will find.
    fn check_place(&self) -> Result<(), StoreError>;

    /// Lets another server take the lead for now: waits for the write under way and begins no other. Later ones wait for
    /// [`Leadership::resume`] as long as for any lock and are [`StoreError::Paused`] then. Reading goes on.
    async fn pause(&self) -> Result<(), StoreError>;

    /// Writes again, unless a later program has changed the schema meanwhile. Whoever paused may have lost the lead to a
    /// server that came to nothing, and has to take it again.
    async fn resume(&self) -> Result<(), StoreError>;
}

/// Keeps other servers from the store for as long as it is held, where the place it lies at allows that. It makes two
/// leaders unlikely and says who leads; the epoch makes them harmless.
pub trait LeaderLock: fmt::Debug + Send {
    /// Lets others know that the holder is ending, and how long its running requests may take.
    fn say_ending(&mut self, within: Duration);
}

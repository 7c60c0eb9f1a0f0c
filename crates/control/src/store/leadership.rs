//! Which server's passes may write. Two servers may look at a store at once; the passes of one of them only are recorded.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::error::StoreError;

/// The lead of a store, as one handle to it has it.
#[async_trait]
pub trait Leadership: Send + Sync {
    /// Whether what is written through this handle is kept at all, as far as can be said without writing:
    /// [`StoreError::Gone`] where the store it has open is not the one that the next server will find.
    fn check_place(&self) -> Result<(), StoreError>;

    /// Lets another server take the lead for now: waits for the write under way and begins no other. Later ones wait for
    /// [`Leadership::resume`] as long as for any lock and are [`StoreError::Paused`] then. Reading goes on.
    async fn pause(&self) -> Result<(), StoreError>;

    /// Writes again, unless a later program has changed the schema meanwhile.
    async fn resume(&self) -> Result<(), StoreError>;
}

/// Keeps other servers from the store for as long as it is held, where the place it lies at allows that.
pub trait LeaderLock: fmt::Debug + Send {
    /// Lets others know that the holder is ending, and how long its running requests may take.
    fn say_ending(&mut self, within: Duration);
}

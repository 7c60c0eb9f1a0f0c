//! What is wanted, what was reserved, and what happened. One file for each use, with the trait that says what its store
//! promises and the values that go through it; [`Store`] is all of them. `sqlite` keeps them in a file of this host,
//! `memory` in memory, for tests; `conformance` holds each of them to the promises.
//!
//! A write that returned is kept; a write that failed changed nothing. Each change of desired state names the generation
//! it read, each write of a pass is made under the epoch of its leader. No caller's code runs inside of a transaction.
//!
//! Everything a tenant can reach takes the tenant as an argument. What takes a bare id is for the reconciler.

mod audit;
mod clock;
#[cfg(test)]
pub(crate) mod conformance;
mod endpoints;
mod error;
mod events;
mod holders;
mod keys;
mod launches;
mod leadership;
#[cfg(test)]
mod memory;
mod pass;
mod pins;
mod snapshot;
mod sqlite;
mod upkeep;
mod usage;

use std::fmt::Debug;

pub use audit::{AUDIT_TEXT_CHARS_MAX, Actor, AuditAction, AuditEntry, AuditRecord, AuditStore, Page};
pub use clock::ClockStore;
pub use endpoints::{Change, EndpointKey, EndpointStore, Idempotency, Inserted, NewEndpoint};
pub use error::StoreError;
pub use events::{EventKind, EventRecord, EventStore};
pub use holders::{Claim, HolderStore, HolderTable};
pub use keys::{Judged, KeyStore, StoredKey};
pub use launches::{Attempt, LaunchStore};
pub use leadership::{Epoch, LeaderLock, Leadership};
pub use pass::{Ending, PassStore};
pub use pins::PinStore;
pub use snapshot::{EndpointRows, Readable, SnapshotStore, Unread};
pub use sqlite::{DataLock, Holder, LockError, SqliteStore, backup};
pub use upkeep::{BackupError, Upkeep};
pub use usage::{EndpointUsage, Moment, Ready, UsageStore};

/// All that a control plane keeps. Who needs less takes the narrower trait.
pub trait Store:
    AuditStore
    + ClockStore
    + EndpointStore
    + EventStore
    + HolderStore
    + KeyStore
    + LaunchStore
    + Leadership
    + PassStore
    + PinStore
    + SnapshotStore
    + Upkeep
    + UsageStore
    + Debug
{
}

impl<T> Store for T where
    T: AuditStore
        + ClockStore
        + EndpointStore
        + EventStore
        + HolderStore
        + KeyStore
        + LaunchStore
        + Leadership
        + PassStore
        + PinStore
        + SnapshotStore
        + Upkeep
        + UsageStore
        + Debug
{
}

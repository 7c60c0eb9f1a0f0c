//! What is wanted, what was reserved, and what happened, on disk. A write that returned is kept; a write that
//! failed changed nothing. Each change of desired state names the generation it read.
//!
//! Everything a tenant can reach takes the tenant as an argument. What takes a bare id is for the reconciler.

mod audit;
mod backup;
mod clock;
mod endpoints;
mod error;
mod events;
mod failures;
mod fault;
mod forget;
mod holders;
mod keys;
mod launched;
mod lock;
mod pass;
mod place;
mod rows;
#[cfg(test)]
mod schemas;
mod snapshot;
mod sqlite;
mod start_times;
mod usage;

pub use audit::{Actor, AuditAction, AuditEntry, AuditRecord, Page};
pub use backup::{BackupError, backup};
pub use endpoints::{EndpointKey, Idempotency, Inserted, NewEndpoint};
pub use error::StoreError;
pub use events::{EventKind, EventRecord};
pub use holders::{Claim, HolderTable};
pub use keys::StoredKey;
pub use lock::{DataLock, Holder, LockError};
pub use pass::Ending;
pub use snapshot::{Attempt, EndpointRows, Readable, Unread};
pub use sqlite::Store;
pub use usage::{EndpointUsage, Moment, Ready};

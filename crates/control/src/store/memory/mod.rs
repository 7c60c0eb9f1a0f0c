//! A store in memory, for tests: it keeps nothing over the end of the process, and everything else that the traits say.
//! A write is checked before it changes anything, so that one that fails leaves nothing behind.

mod audit;
mod clock;
mod endpoints;
mod events;
mod holders;
mod keys;
mod launches;
mod leadership;
mod pass;
mod pins;
mod rows;
mod snapshot;
mod tests;
mod upkeep;
mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dedi_domain::time::Span;
use dedi_domain::{Desired, EndpointId, EndpointName, ModelName, Owner, ReplicaId, ReplicaRow, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use self::rows::{Idempotent, Key, Launch, Ran};
use super::{AuditRecord, EventKind, EventRecord, StoreError};

/// A handle to a store in memory, as one server has it.
#[derive(Debug)]
pub(crate) struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
    installation: Uuid,
    /// The epoch in which this handle took the lead; 0 before that, which no epoch is.
    epoch: AtomicU64,
    is_paused: AtomicBool,
    is_closed: AtomicBool,
}

/// All that is kept.
#[derive(Debug, Default)]
struct Tables {
    epoch: u64,
    endpoints: BTreeMap<EndpointId, Desired>,
    replicas: BTreeMap<ReplicaId, ReplicaRow>,
    launches: Vec<Launch>,
    /// By model and hardware, how long launches took in milliseconds, oldest first.
    start_times: BTreeMap<(String, String), Vec<i64>>,
    usage: BTreeMap<ReplicaId, Ran>,
    erased: BTreeMap<EndpointId, EndpointName>,
    idempotency: BTreeMap<(Owner, String), Idempotent>,
    owners: BTreeSet<Owner>,
    keys: Vec<Key>,
    holders: BTreeMap<ModelName, BTreeSet<Option<Owner>>>,
    claims: BTreeMap<(ModelName, Owner), Timestamp>,
    pins: BTreeMap<EndpointId, String>,
    events: Vec<(EndpointId, EventRecord)>,
    n_events: i64,
    audit: Vec<AuditRecord>,
    n_audit: i64,
    spans: BTreeMap<Timestamp, Span>,
}

impl MemoryStore {
    /// An empty store.
    pub(crate) fn new(installation: Uuid) -> Self {
        Self {
            tables: Arc::default(),
            installation,
            epoch: AtomicU64::new(0),
            is_paused: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Another handle to the same store, as another server has it.
    pub(crate) fn other(&self) -> Self {
        Self { tables: self.tables.clone(), ..Self::new(self.installation) }
    }

    fn read(&self) -> Result<MutexGuard<'_, Tables>, StoreError> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        Ok(self.tables.lock())
    }

    fn write(&self) -> Result<MutexGuard<'_, Tables>, StoreError> {
        if self.is_paused.load(Ordering::Acquire) {
            return Err(StoreError::Paused);
        }
        self.read()
    }

    /// The same for a write of a pass: refused unless this handle leads.
    fn write_leading(&self) -> Result<MutexGuard<'_, Tables>, StoreError> {
        let tables = self.write()?;
        if tables.epoch == self.epoch.load(Ordering::Acquire) { Ok(tables) } else { Err(StoreError::Fenced) }
    }
}

impl Tables {
    fn add_event(
        &mut self,
        now: Timestamp,
        endpoint: EndpointId,
        replica: Option<ReplicaId>,
        kind: EventKind,
        message: &str,
    ) {
        self.n_events += 1;
        let record = EventRecord {
            id: self.n_events,
            at: now,
            kind: kind.as_str().to_owned(),
            replica: replica.map(|it| it.to_string()),
            message: message.to_owned(),
        };
        self.events.push((endpoint, record));
    }

    fn replica(&self, replica: ReplicaId) -> Result<&ReplicaRow, StoreError> {
        self.replicas.get(&replica).ok_or(StoreError::Conflict)
    }

    fn launch(&mut self, replica: ReplicaId) -> Option<&mut Launch> {
        self.launches.iter_mut().find(|it| it.replica == replica)
    }
}

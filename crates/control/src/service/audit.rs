//! The audit log: who did what to which object. A tenant's owners read their own log, an admin the whole one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dedi_domain::{KeyId, Owner, Principal, Timestamp};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::caller::Caller;
use super::error::ServiceError;
use crate::clock::Clock;
use crate::store::{AuditAction, AuditRecord, AuditStore, Page};

/// Entries in one answer, at most and by default.
const ENTRIES_MAX: i64 = 1_000;
const ENTRIES_DEFAULT: i64 = 100;
/// Refusals of one key in one minute that are written down: more say nothing new, and a loop must not fill the disk.
pub(crate) const REFUSALS_PER_MINUTE_MAX: u32 = 10;
/// Longest wait for a refusal to be written down.
const WRITE_MAX: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

pub(crate) struct AuditLog {
    store: Arc<dyn AuditStore>,
    clock: Clock,
    refusals: Refusals,
}

impl AuditLog {
    pub(crate) fn new(store: Arc<dyn AuditStore>, clock: Clock) -> Self {
        Self { store, clock, refusals: Refusals::default() }
    }

    /// Entries after one, oldest first, or the newest; of another tenant's log only for an admin.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        of: Option<Owner>,
        after: Option<i64>,
        limit: Option<i64>,
    ) -> Result<Vec<AuditRecord>, ServiceError> {
        caller.must_audit()?;
        let limit = limit.unwrap_or(ENTRIES_DEFAULT).clamp(1, ENTRIES_MAX);
        let owner = match of {
            None => caller.reach().cloned(),
            Some(of) if caller.is_admin() || of == *caller.owner() => Some(of),
            Some(_) => {
                let message = "Only an admin key has permission to read the audit log of another owner";
                return Err(ServiceError::Forbidden(message.to_owned()));
            }
        };
        let page = after.map_or(Page::Newest, Page::After);
        Ok(self.store.audit(owner.as_ref(), page, u32::try_from(limit).unwrap_or(1)).await?)
    }

    /// Writes into a tenant's log that a valid key was refused `request`, which it has no right to.
    pub(crate) async fn refused(&self, principal: &Principal, request: &str) {
        let now = self.clock.now();
        if !self.refusals.counts(&principal.key, now) {
            return;
        }
        let message = format!("the role `{}` has no permission for this", principal.role.as_str());
        let entry = Caller(principal.clone()).audit_entry(AuditAction::Refused, request, message);
        // The refusal stands, written down or not, and does not wait for a database that nobody may write to now.
        match timeout(WRITE_MAX, self.store.add_audit(&entry, now)).await {
            Ok(Ok(())) => {}
            Ok(Err(err)) => tracing::warn!("a refusal could not be written into the audit log: {err}"),
            Err(_elapsed) => tracing::warn!("a refusal was not written into the audit log in time"),
        }
    }
}

/// How many refusals of each key were written in its minute.
#[derive(Debug, Default)]
struct Refusals(Mutex<BTreeMap<KeyId, (Timestamp, u32)>>);

impl Refusals {
    /// Whether another one is written down.
    fn counts(&self, key: &KeyId, now: Timestamp) -> bool {
        let mut all = self.0.lock();
        all.retain(|_, (since, _)| now.since(*since) < MINUTE);
        let (_, n) = all.entry(key.clone()).or_insert((now, 0));
        *n = n.saturating_add(1);
        *n <= REFUSALS_PER_MINUTE_MAX
    }
}

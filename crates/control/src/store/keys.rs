//! Owners and their API keys. Only ids and hashes are stored.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dedi_domain::time::Timeline;
use dedi_domain::{KeyId, KeyTable, Owner, Role, Scope, Timestamp};

use super::audit::AuditEntry;
use super::error::StoreError;

/// API keys. A key that was written or revoked is so durably when the method returns, together with its audit entry.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// The keys that are not revoked, as requests are checked against, with their expiry by the wall clock. One that
    /// can't be read is not valid.
    async fn key_table(&self, times: &Timeline) -> Result<KeyTable, StoreError>;

    /// The keys of a tenant that are not revoked, oldest first; of all tenants for `None`.
    async fn keys(&self, owner: Option<&Owner>) -> Result<Vec<StoredKey>, StoreError>;

    /// Writes a key, and its owner if that is new.
    async fn insert_key(&self, key: &StoredKey, hash: [u8; 32], entry: &AuditEntry)
    -> Result<(), StoreError>;

    /// Revokes a key of the tenant; of any tenant for `None`. Whose it was is filled into the entry of the audit log.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] where the tenant has no such key, [`StoreError::Conflict`] for the last admin key of the
    /// host that has not expired by `judged`: it stays.
    async fn revoke_key(
        &self,
        owner: Option<&Owner>,
        key: &KeyId,
        entry: AuditEntry,
        now: Timestamp,
        judged: Judged<'_>,
    ) -> Result<(), StoreError>;

    /// Writes down when keys were last used. What is lost of it is a minute's precision.
    async fn keys_used(&self, used: &BTreeMap<KeyId, Timestamp>) -> Result<(), StoreError>;
}

/// By what the expiry of keys is judged.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// How stamps are shown.
    pub times: &'a Timeline,
    /// What time it is for keys.
    pub now: Timestamp,
}

/// A key without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// The public part.
    pub id: KeyId,
    /// Text for people.
    pub name: String,
    /// Tenant the key belongs to.
    pub owner: Owner,
    /// Rights of whoever presents the key.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// Not valid from this time on; a stamp of the clock that `created_at` is one of.
    pub expires_at: Option<Timestamp>,
    /// What of its tenant it may touch.
    pub scope: Scope,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

impl StoredKey {
    /// When it expires by the wall clock. The life that was asked for counts from when the key was made, which may
    /// have been under a clock that has been set right since.
    pub fn expiry(&self, times: &Timeline) -> Option<Timestamp> {
        self.expires_at.map(|it| times.shown(self.created_at).plus(it.since(self.created_at)))
    }

    /// Whether it has not expired.
    pub fn lives(&self, judged: Judged<'_>) -> bool {
        self.expiry(judged.times).is_none_or(|end| judged.now < end)
    }
}

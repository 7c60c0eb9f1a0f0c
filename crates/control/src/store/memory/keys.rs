use std::collections::BTreeMap;

use async_trait::async_trait;
use dedi_domain::keys::KeyRecord;
use dedi_domain::time::Timeline;
use dedi_domain::{KeyId, KeyTable, Owner, Role, Timestamp};

use super::{Key, MemoryStore, Tables};
use crate::store::{AuditEntry, Judged, KeyStore, StoreError, StoredKey};

#[async_trait]
impl KeyStore for MemoryStore {
    async fn key_table(&self, times: &Timeline) -> Result<KeyTable, StoreError> {
        let tables = self.read()?;
        let record = |it: &Key| {
            let StoredKey { id, owner, role, scope, .. } = it.key.clone();
            (id, KeyRecord { hash: it.hash, owner, role, expires_at: it.key.expiry(times), scope })
        };
        Ok(tables.valid().map(record).collect())
    }

    async fn keys(&self, owner: Option<&Owner>) -> Result<Vec<StoredKey>, StoreError> {
        let tables = self.read()?;
        let of = tables.valid().map(|it| &it.key).filter(|it| owner.is_none_or(|owner| it.owner == *owner));
        let mut keys: Vec<StoredKey> = of.cloned().collect();
        keys.sort_by_key(|it| (it.created_at, it.id.0.clone()));
        Ok(keys)
    }

    async fn insert_key(
        &self,
        key: &StoredKey,
        hash: [u8; 32],
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        if tables.keys.iter().any(|it| it.key.id == key.id) {
            return Err(StoreError::Value("there is a key of that id".to_owned()));
        }
        tables.owners.insert(key.owner.clone());
        tables.keys.push(Key { key: key.clone(), hash, is_revoked: false });
        tables.audit(entry, key.created_at);
        Ok(())
    }

    async fn revoke_key(
        &self,
        owner: Option<&Owner>,
        key: &KeyId,
        mut entry: AuditEntry,
        now: Timestamp,
        judged: Judged<'_>,
    ) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        let found = tables.valid().map(|it| &it.key).find(|it| it.id == *key);
        let found =
            found.filter(|it| owner.is_none_or(|owner| it.owner == *owner)).ok_or(StoreError::NotFound)?;
        let lives = |it: &StoredKey| it.role == Role::Admin && it.lives(judged);
        let n_others = tables.valid().filter(|it| it.key.id != *key && lives(&it.key)).count();
        if found.role == Role::Admin && n_others == 0 {
            return Err(StoreError::Conflict);
        }
        entry.owner = Some(found.owner.clone());
        for it in tables.keys.iter_mut().filter(|it| it.key.id == *key) {
            it.is_revoked = true;
        }
        tables.audit(&entry, now);
        Ok(())
    }

    async fn keys_used(&self, used: &BTreeMap<KeyId, Timestamp>) -> Result<(), StoreError> {
        for it in &mut self.write()?.keys {
            it.key.last_used_at = it.key.last_used_at.max(used.get(&it.key.id).copied());
        }
        Ok(())
    }
}

impl Tables {
    fn valid(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(|it| !it.is_revoked)
    }
}

//! Owners and their API keys. Only ids and hashes are stored.

use std::collections::BTreeMap;

use dedi_domain::keys::KeyRecord;
use dedi_domain::time::Timeline;
use dedi_domain::{KeyId, KeyTable, Owner, Role, Scope, Timestamp};
use sqlx::FromRow;

use super::audit::{AuditEntry, audit};
use super::error::StoreError;
use super::rows::bad;
use super::sqlite::Store;

/// A key without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// The public part.
    pub id: KeyId,
    /// Text for people.
    pub name: String,
    /// Its tenant.
    pub owner: Owner,
    /// What it allows.
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
}

#[derive(FromRow)]
struct KeyRow {
    id: String,
    name: String,
    owner: String,
    hash: Vec<u8>,
    role: String,
    created_at: i64,
    expires_at: Option<i64>,
    models: Option<String>,
    last_used_at: Option<i64>,
}

impl KeyRow {
    fn stored(&self) -> Result<StoredKey, StoreError> {
        Ok(StoredKey {
            id: KeyId(self.id.clone()),
            name: self.name.clone(),
            owner: Owner::parse(&self.owner).map_err(bad)?,
            role: Role::parse(&self.role).map_err(bad)?,
            created_at: Timestamp(self.created_at),
            expires_at: self.expires_at.map(Timestamp),
            scope: match &self.models {
                None => Scope::default(),
                Some(list) => {
                    Scope::parse(&serde_json::from_str::<Vec<String>>(list).map_err(bad)?).map_err(bad)?
                }
            },
            last_used_at: self.last_used_at.map(Timestamp),
        })
    }
}

const SELECT: &str = "SELECT id, name, owner, hash, role, created_at, expires_at, models, last_used_at \
                      FROM api_keys WHERE revoked_at IS NULL ORDER BY created_at, id";

impl Store {
    /// The keys that are not revoked, as requests are checked against, with their expiry by the wall clock. One that
    /// can't be read is not valid.
    pub async fn key_table(&self, times: &Timeline) -> Result<KeyTable, StoreError> {
        let rows: Vec<KeyRow> = sqlx::query_as(SELECT).fetch_all(&self.reader).await?;
        let record = |row: KeyRow| {
            let key = row.stored()?;
            let hash = row.hash.try_into().map_err(|_wrong_length| bad("a key's hash"))?;
            let expires_at = key.expiry(times);
            let record = KeyRecord { hash, owner: key.owner, role: key.role, expires_at, scope: key.scope };
            Ok::<_, StoreError>((key.id, record))
        };
        Ok(rows.into_iter().filter_map(|row| record(row).ok()).collect())
    }

    /// The keys of a tenant; of all tenants for `None`.
    pub async fn keys(&self, owner: Option<&Owner>) -> Result<Vec<StoredKey>, StoreError> {
        let rows: Vec<KeyRow> = sqlx::query_as(SELECT).fetch_all(&self.reader).await?;
        let keys: Vec<StoredKey> = rows.iter().map(KeyRow::stored).collect::<Result<_, _>>()?;
        Ok(keys.into_iter().filter(|it| owner.is_none_or(|owner| it.owner == *owner)).collect())
    }

    /// Writes a key, and its owner if that is new. `before_commit` runs when nothing but the commit is left:
    /// what it does is never undone by a refusal, and if it fails the key is not there.
    pub async fn insert_key<E: From<StoreError>>(
        &self,
        key: &StoredKey,
        hash: [u8; 32],
        entry: &AuditEntry,
        before_commit: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut tx = self.write().await?;
        let write = async {
            sqlx::query("INSERT INTO owners (owner, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING")
                .bind(key.owner.as_str())
                .bind(key.created_at.0)
                .execute(&mut *tx)
                .await?;
            sqlx::query(
                "INSERT INTO api_keys (id, name, owner, hash, role, created_at, expires_at, models) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&key.id.0)
            .bind(&key.name)
            .bind(key.owner.as_str())
            .bind(hash.as_slice())
            .bind(key.role.as_str())
            .bind(key.created_at.0)
            .bind(key.expires_at.map(|it| it.0))
            .bind(key.scope.entries().map(|it| serde_json::Value::from(it).to_string()))
            .execute(&mut *tx)
            .await?;
            audit(&mut tx, entry, key.created_at).await?;
            Ok::<_, StoreError>(())
        };
        write.await?;
        before_commit()?;
        Ok(self.commit(tx, "insert-key").await?)
    }

    /// Revokes a key of the tenant; of any tenant for `None`. Whose it was is filled into the entry of the audit log. The
    /// last admin key of the host that `lives` stays: [`StoreError::Conflict`].
    pub async fn revoke_key(
        &self,
        owner: Option<&Owner>,
        key: &KeyId,
        mut entry: AuditEntry,
        now: Timestamp,
        lives: impl Fn(&StoredKey) -> bool,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let rows: Vec<KeyRow> = sqlx::query_as(SELECT).fetch_all(&mut *tx).await?;
        let found = rows.iter().find(|it| it.id == key.0);
        let Some(found) = found.filter(|it| owner.is_none_or(|owner| owner.as_str() == it.owner)) else {
            return Err(StoreError::NotFound);
        };
        let is_admin = |it: &KeyRow| it.role == Role::Admin.as_str();
        let others = rows.iter().filter(|it| it.id != key.0 && is_admin(it));
        let n_admins = others.filter_map(|it| it.stored().ok()).filter(|it| lives(it)).count();
        if is_admin(found) && n_admins == 0 {
            return Err(StoreError::Conflict);
        }
        entry.owner = Owner::parse(&found.owner).ok();
        sqlx::query("UPDATE api_keys SET revoked_at = ? WHERE id = ?")
            .bind(now.0)
            .bind(&key.0)
            .execute(&mut *tx)
            .await?;
        audit(&mut tx, &entry, now).await?;
        self.commit(tx, "revoke-key").await
    }

    /// Writes down when keys were last used.
    pub async fn keys_used(&self, used: &BTreeMap<KeyId, Timestamp>) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        for (key, at) in used {
            sqlx::query("UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE id = ?")
                .bind(at.0)
                .bind(&key.0)
                .execute(&mut *tx)
                .await?;
        }
        self.commit(tx, "keys-used").await
    }
}

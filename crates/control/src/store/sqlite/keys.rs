//! Owners and their API keys. Only ids and hashes are stored.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dedi_domain::keys::KeyRecord;
use dedi_domain::time::Timeline;
use dedi_domain::{KeyId, KeyTable, Owner, Role, Scope, Timestamp};
use sqlx::FromRow;

use super::SqliteStore;
use super::audit::audit;
use super::rows::bad;
use crate::store::{AuditEntry, Judged, KeyStore, StoreError, StoredKey};

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

const SELECT: &str = sql!(
    "SELECT id, name, owner, hash, role, created_at, expires_at, models, last_used_at \
                      FROM api_keys WHERE revoked_at IS NULL ORDER BY created_at, id"
);

#[async_trait]
impl KeyStore for SqliteStore {
    async fn key_table(&self, times: &Timeline) -> Result<KeyTable, StoreError> {
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

    async fn keys(&self, owner: Option<&Owner>) -> Result<Vec<StoredKey>, StoreError> {
        let rows: Vec<KeyRow> = sqlx::query_as(SELECT).fetch_all(&self.reader).await?;
        let keys: Vec<StoredKey> = rows.iter().map(KeyRow::stored).collect::<Result<_, _>>()?;
        Ok(keys.into_iter().filter(|it| owner.is_none_or(|owner| it.owner == *owner)).collect())
    }

    async fn insert_key(
        &self,
        key: &StoredKey,
        hash: [u8; 32],
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(sql!("INSERT INTO owners (owner, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING"))
            .bind(key.owner.as_str())
            .bind(key.created_at.0)
            .execute(&mut *tx)
            .await?;
        sqlx::query(sql!(
            "INSERT INTO api_keys (id, name, owner, hash, role, created_at, expires_at, models) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        ))
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
        self.commit(tx, "insert-key").await
    }

    async fn revoke_key(
        &self,
        owner: Option<&Owner>,
        key: &KeyId,
        mut entry: AuditEntry,
        now: Timestamp,
        judged: Judged<'_>,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let rows: Vec<KeyRow> = sqlx::query_as(SELECT).fetch_all(&mut *tx).await?;
        let found = rows.iter().find(|it| it.id == key.0);
        let Some(found) = found.filter(|it| owner.is_none_or(|owner| owner.as_str() == it.owner)) else {
            return Err(StoreError::NotFound);
        };
        let is_admin = |it: &KeyRow| it.role == Role::Admin.as_str();
        let others = rows.iter().filter(|it| it.id != key.0 && is_admin(it));
        let n_admins = others.filter_map(|it| it.stored().ok()).filter(|it| it.lives(judged)).count();
        if is_admin(found) && n_admins == 0 {
            return Err(StoreError::Conflict);
        }
        entry.owner = Owner::parse(&found.owner).ok();
        sqlx::query(sql!("UPDATE api_keys SET revoked_at = ? WHERE id = ?"))
            .bind(now.0)
            .bind(&key.0)
            .execute(&mut *tx)
            .await?;
        audit(&mut tx, &entry, now).await?;
        self.commit(tx, "revoke-key").await
    }

    async fn keys_used(&self, used: &BTreeMap<KeyId, Timestamp>) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        for (key, at) in used {
            sqlx::query(sql!(
                "UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE id = ?"
            ))
            .bind(at.0)
            .bind(&key.0)
            .execute(&mut *tx)
            .await?;
        }
        self.commit(tx, "keys-used").await
    }
}

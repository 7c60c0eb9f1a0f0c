//! Owners and their API keys. Only ids and hashes are stored.

use dedi_domain::keys::KeyRecord;
use dedi_domain::{KeyId, KeyTable, Owner, Role, Timestamp};
use sqlx::FromRow;

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
    /// Not valid from this time on.
    pub expires_at: Option<Timestamp>,
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
        })
    }
}

const SELECT: &str = "SELECT id, name, owner, hash, role, created_at, expires_at FROM api_keys \
                      WHERE revoked_at IS NULL ORDER BY created_at, id";

impl Store {
    /// The keys that are not revoked, as requests are checked against. One that can't be read is not valid.
    pub async fn key_table(&self) -> Result<KeyTable, StoreError> {
        let rows: Vec<KeyRow> = sqlx::query_as(SELECT).fetch_all(&self.reader).await?;
        let record = |row: KeyRow| {
            let key = row.stored()?;
            let hash = row.hash.try_into().map_err(|_wrong_length| bad("a key's hash"))?;
            let record = KeyRecord { hash, owner: key.owner, role: key.role, expires_at: key.expires_at };
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
                "INSERT INTO api_keys (id, name, owner, hash, role, created_at, expires_at) \
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&key.id.0)
            .bind(&key.name)
            .bind(key.owner.as_str())
            .bind(hash.as_slice())
            .bind(key.role.as_str())
            .bind(key.created_at.0)
            .bind(key.expires_at.map(|it| it.0))
            .execute(&mut *tx)
            .await?;
            Ok::<_, StoreError>(())
        };
        write.await?;
        before_commit()?;
        Ok(self.commit(tx, "insert-key").await?)
    }

    /// Revokes a key of the tenant; of any tenant for `None`. The last admin key of the host stays:
    /// [`StoreError::Conflict`].
    pub async fn revoke_key(
        &self,
        owner: Option<&Owner>,
        key: &KeyId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let row: Option<(String, String)> =
            sqlx::query_as("SELECT owner, role FROM api_keys WHERE id = ? AND revoked_at IS NULL")
                .bind(&key.0)
                .fetch_optional(&mut *tx)
                .await?;
        let role = match row {
            Some((of, role)) if owner.is_none_or(|it| it.as_str() == of) => role,
            Some(_) | None => return Err(StoreError::NotFound),
        };
        let n_admins: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM api_keys WHERE role = 'admin' AND revoked_at IS NULL AND id <> ? \
             AND (expires_at IS NULL OR expires_at > ?)",
        )
        .bind(&key.0)
        .bind(now.0)
        .fetch_one(&mut *tx)
        .await?;
        if role == Role::Admin.as_str() && n_admins == 0 {
            return Err(StoreError::Conflict);
        }
        sqlx::query("UPDATE api_keys SET revoked_at = ? WHERE id = ?")
            .bind(now.0)
            .bind(&key.0)
            .execute(&mut *tx)
            .await?;
        self.commit(tx, "revoke-key").await
    }
}

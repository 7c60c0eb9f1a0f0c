//! The audit log: who did what to which object. An entry is written in the transaction of the act, where there is one;
//! it holds ids and names, never a secret, a prompt or a body.

use dedi_domain::{KeyId, Owner, Principal, Timestamp};
use sqlx::{Sqlite, Transaction};

use super::error::StoreError;
use super::sqlite::Store;

/// Longest object and message, in characters: a path may be long.
const TEXT_MAX: usize = 512;

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor(Option<(Owner, KeyId)>);

impl Actor {
    /// The server itself, or who may do as it does on its host.
    pub const SERVER: Self = Self(None);
}

impl From<&Principal> for Actor {
    fn from(it: &Principal) -> Self {
        Self(Some((it.owner.clone(), it.key.clone())))
    }
}

macro_rules! audit_actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What was done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum AuditAction {
            $($(#[$doc])* $name,)*
        }

        impl AuditAction {
            /// Every action.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word on the wire and in the store.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

audit_actions! {
    /// An endpoint was created.
    EndpointCreate = "endpoint.create",
    /// Its name, bounds or timeout were changed.
    EndpointUpdate = "endpoint.update",
    /// It was told to start.
    EndpointStart = "endpoint.start",
    /// It was told to stop.
    EndpointStop = "endpoint.stop",
    /// It was told to go.
    EndpointDelete = "endpoint.delete",
    /// A model was asked for.
    ModelPull = "model.pull",
    /// A model, or a tenant's part of it, was removed, or its download called off.
    ModelRemove = "model.remove",
    /// A model's files were to be read again.
    ModelVerify = "model.verify",
    /// A model's files were to be taken as they are.
    ModelAccept = "model.accept",
    /// Whose a model is was changed.
    ModelShare = "model.share",
    /// A key was made.
    KeyCreate = "key.create",
    /// A key was revoked.
    KeyRevoke = "key.revoke",
    /// A key was refused what it has no right to.
    Refused = "refused",
    /// The database was copied.
    Backup = "backup",
}

/// An entry to be.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// Whose log it is in; `None` for the host's.
    pub owner: Option<Owner>,
    /// Who acted.
    pub by: Actor,
    /// What was done.
    pub action: AuditAction,
    /// To what: an id or a name.
    pub object: String,
    /// What else there is to say.
    pub message: String,
}

/// An entry that was written.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct AuditRecord {
    /// Grows.
    pub id: i64,
    /// When, as a stamp.
    pub at: i64,
    /// Whose log it is in.
    pub owner: Option<String>,
    /// The key that asked.
    pub key: Option<String>,
    /// The key's tenant.
    pub by_owner: Option<String>,
    /// A word of [`AuditAction`].
    pub action: String,
    /// To what.
    pub object: String,
    /// What else there is to say.
    pub message: String,
}

/// Where a page of entries is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Those after this one, oldest first.
    After(i64),
    /// The newest, oldest of them first.
    Newest,
}

impl Store {
    /// Up to `limit` entries of a tenant's log, of all for `None`, oldest first.
    pub async fn audit(
        &self,
        owner: Option<&Owner>,
        page: Page,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let sql = match (owner, page) {
            (Some(_), Page::After(_)) => "SELECT * FROM audit WHERE owner = ? AND id > ? ORDER BY id LIMIT ?",
            (Some(_), Page::Newest) => {
                "SELECT * FROM audit WHERE owner = ? AND id > ? ORDER BY id DESC LIMIT ?"
            }
            (None, Page::After(_)) => "SELECT * FROM audit WHERE ? IS NULL AND id > ? ORDER BY id LIMIT ?",
            (None, Page::Newest) => "SELECT * FROM audit WHERE ? IS NULL AND id > ? ORDER BY id DESC LIMIT ?",
        };
        let after = match page {
            Page::After(after) => after,
            Page::Newest => 0,
        };
        let mut records: Vec<AuditRecord> = sqlx::query_as(sql)
            .bind(owner.map(Owner::as_str))
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&self.reader)
            .await?;
        if page == Page::Newest {
            records.reverse();
        }
        Ok(records)
    }

    /// Writes an entry that goes with no other write.
    pub async fn add_audit(&self, entry: &AuditEntry, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        audit(&mut tx, entry, now).await?;
        self.commit(tx, "audit").await
    }

    /// Removes entries older than `before`; answers how many went.
    pub async fn forget_audit(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        sqlx::query("UPDATE audit_kept SET from_at = ? WHERE from_at < ?")
            .bind(before.0)
            .bind(before.0)
            .execute(&mut *tx)
            .await?;
        self.commit(tx, "audit-kept").await?;
        self.forget(
            "forget-audit",
            "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ? ORDER BY at LIMIT ?)",
            before,
        )
        .await
    }
}

/// Writes an entry in the transaction of what it tells.
pub(super) async fn audit(
    tx: &mut Transaction<'static, Sqlite>,
    entry: &AuditEntry,
    now: Timestamp,
) -> Result<(), StoreError> {
    let short = |text: &str| text.chars().take(TEXT_MAX).collect::<String>();
    let (by, key) = match &entry.by.0 {
        Some((owner, key)) => (Some(owner.as_str()), Some(key.0.as_str())),
        None => (None, None),
    };
    sqlx::query(
        "INSERT INTO audit (at, owner, key, by_owner, action, object, message) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(now.0)
    .bind(entry.owner.as_ref().map(Owner::as_str))
    .bind(key)
    .bind(by)
    .bind(entry.action.as_str())
    .bind(short(&entry.object))
    .bind(short(&entry.message))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

//! The audit log: who did what to which object. An entry is written in the transaction of the act, where there is one;
//! it holds ids and names, never a secret, a prompt or a body.

use async_trait::async_trait;
use dedi_domain::{Owner, Timestamp};
use sqlx::{FromRow, Sqlite, Transaction};

use super::SqliteStore;
use crate::store::{AUDIT_TEXT_CHARS_MAX, AuditEntry, AuditRecord, AuditStore, Page, StoreError};

#[derive(FromRow)]
struct AuditRow {
    id: i64,
    at: i64,
    owner: Option<String>,
    key: Option<String>,
    by_owner: Option<String>,
    action: String,
    object: String,
    message: String,
}

impl From<AuditRow> for AuditRecord {
    fn from(it: AuditRow) -> Self {
        let AuditRow { id, at, owner, key, by_owner, action, object, message } = it;
        Self { id, at, owner, key, by_owner, action, object, message }
    }
}

#[async_trait]
impl AuditStore for SqliteStore {
    async fn audit(
        &self,
        owner: Option<&Owner>,
        page: Page,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let sql = match (owner, page) {
            (Some(_), Page::After(_)) => {
                sql!("SELECT * FROM audit WHERE owner = ? AND id > ? ORDER BY id LIMIT ?")
            }
            (Some(_), Page::Newest) => {
                sql!("SELECT * FROM audit WHERE owner = ? AND id > ? ORDER BY id DESC LIMIT ?")
            }
            (None, Page::After(_)) => {
                sql!("SELECT * FROM audit WHERE ? IS NULL AND id > ? ORDER BY id LIMIT ?")
            }
            (None, Page::Newest) => {
                sql!("SELECT * FROM audit WHERE ? IS NULL AND id > ? ORDER BY id DESC LIMIT ?")
            }
        };
        let after = match page {
            Page::After(after) => after,
            Page::Newest => 0,
        };
        let mut records: Vec<AuditRow> = sqlx::query_as(sql)
            .bind(owner.map(Owner::as_str))
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&self.reader)
            .await?;
        if page == Page::Newest {
            records.reverse();
        }
        Ok(records.into_iter().map(AuditRecord::from).collect())
    }

    async fn add_audit(&self, entry: &AuditEntry, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        audit(&mut tx, entry, now).await?;
        self.commit(tx, "audit").await
    }

    async fn forget_audit(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(sql!("UPDATE audit_kept SET from_at = ? WHERE from_at < ?"))
            .bind(before.0)
            .bind(before.0)
            .execute(&mut *tx)
            .await?;
        self.commit(tx, "audit-kept").await?;
        self.forget(
            "forget-audit",
            sql!("DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ? ORDER BY at LIMIT ?)"),
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
    let short = |text: &str| text.chars().take(AUDIT_TEXT_CHARS_MAX).collect::<String>();
    let (by, key) = match entry.by.key() {
        Some((owner, key)) => (Some(owner.as_str()), Some(key.0.as_str())),
        None => (None, None),
    };
    sqlx::query(sql!(
        "INSERT INTO audit (at, owner, key, by_owner, action, object, message) VALUES (?, ?, ?, ?, ?, ?, ?)"
    ))
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

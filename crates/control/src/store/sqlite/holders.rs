//! Whose models are.

use std::collections::BTreeSet;

use async_trait::async_trait;
use dedi_domain::model_rights::Holders;
use dedi_domain::{ModelName, Owner, Timestamp};
use sqlx::{Sqlite, Transaction};

use super::SqliteStore;
use super::audit::audit;
use crate::store::{AuditEntry, Claim, HolderStore, HolderTable, StoreError};

/// What stands for all tenants; no owner's slug can be it.
const EVERYONE: &str = "*";

#[async_trait]
impl HolderStore for SqliteStore {
    async fn holders(&self) -> Result<HolderTable, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as(sql!("SELECT model, holder FROM model_holders")).fetch_all(&self.reader).await?;
        let mut table = HolderTable::new();
        for (model, holder) in rows {
            let Ok(model) = ModelName::parse(&model) else { continue };
            let of = table.entry(model).or_insert_with(|| Holders::Tenants(BTreeSet::new()));
            match (of, holder.as_str()) {
                (of, EVERYONE) => *of = Holders::Everyone,
                (Holders::Everyone, _) => {}
                (Holders::Tenants(tenants), holder) => tenants.extend(Owner::parse(holder).ok()),
            }
        }
        Ok(table)
    }

    async fn add_holder(
        &self,
        model: &ModelName,
        holder: Option<&Owner>,
        claims: bool,
        entry: Option<&AuditEntry>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let is_new = hold(&mut tx, model, holder, now).await?;
        if let (true, Some(tenant)) = (claims && is_new, holder) {
            sqlx::query(sql!("INSERT INTO model_claims (model, holder, at) VALUES (?, ?, ?)"))
                .bind(model.as_str())
                .bind(tenant.as_str())
                .bind(now.0)
                .execute(&mut *tx)
                .await?;
        }
        if let Some(entry) = entry {
            audit(&mut tx, entry, now).await?;
        }
        self.commit(tx, "hold-model").await
    }

    async fn claims(&self) -> Result<Vec<Claim>, StoreError> {
        let rows: Vec<(String, String, i64)> =
            sqlx::query_as(sql!("SELECT model, holder, at FROM model_claims"))
                .fetch_all(&self.reader)
                .await?;
        let read = |(model, holder, at): (String, String, i64)| {
            let (model, tenant) = (ModelName::parse(&model).ok()?, Owner::parse(&holder).ok()?);
            Some(Claim { model, tenant, at: Timestamp(at) })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    async fn keep_claim(&self, claim: &Claim) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(sql!("DELETE FROM model_claims WHERE model = ? AND holder = ?"))
            .bind(claim.model.as_str())
            .bind(claim.tenant.as_str())
            .execute(&mut *tx)
            .await?;
        self.commit(tx, "keep-claim").await
    }

    async fn drop_claim(&self, claim: &Claim) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(sql!(
            "DELETE FROM model_holders WHERE model = ?1 AND holder = ?2 \
             AND EXISTS (SELECT 1 FROM model_claims WHERE model = ?1 AND holder = ?2 AND at = ?3)"
        ))
        .bind(claim.model.as_str())
        .bind(claim.tenant.as_str())
        .bind(claim.at.0)
        .execute(&mut *tx)
        .await?;
        self.commit(tx, "drop-claim").await
    }

    async fn share_model(
        &self,
        model: &ModelName,
        holders: Option<&BTreeSet<Owner>>,
        entry: &AuditEntry,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        forget(&mut tx, model, None).await?;
        match holders {
            None => {
                hold(&mut tx, model, None, now).await?;
            }
            Some(holders) => {
                for it in holders {
                    hold(&mut tx, model, Some(it), now).await?;
                }
            }
        }
        audit(&mut tx, entry, now).await?;
        self.commit(tx, "share-model").await
    }

    async fn unhold_model(
        &self,
        model: &ModelName,
        holder: Option<&Owner>,
        entry: Option<&AuditEntry>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        forget(&mut tx, model, holder).await?;
        if let Some(entry) = entry {
            audit(&mut tx, entry, now).await?;
        }
        self.commit(tx, "unhold-model").await
    }
}

/// Whether it was no holder before.
async fn hold(
    tx: &mut Transaction<'static, Sqlite>,
    model: &ModelName,
    holder: Option<&Owner>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(sql!(
        "INSERT INTO model_holders (model, holder, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    ))
    .bind(model.as_str())
    .bind(holder.map_or(EVERYONE, Owner::as_str))
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

async fn forget(
    tx: &mut Transaction<'static, Sqlite>,
    model: &ModelName,
    holder: Option<&Owner>,
) -> Result<(), StoreError> {
    sqlx::query(sql!("DELETE FROM model_holders WHERE model = ? AND (? IS NULL OR holder = ?)"))
        .bind(model.as_str())
        .bind(holder.map(Owner::as_str))
        .bind(holder.map(Owner::as_str))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

//! Whose models are, and which revision endpoints were created with.

use std::collections::{BTreeMap, BTreeSet};

use dedi_domain::model_rights::Holders;
use dedi_domain::{EndpointId, ModelName, Owner, Timestamp};
use sqlx::{Sqlite, Transaction};

use super::audit::{AuditEntry, audit};
use super::error::StoreError;
use super::events::{EventKind, add_event};
use super::sqlite::Store;

/// What stands for all tenants; no owner's slug can be it.
const EVERYONE: &str = "*";

/// Who holds which model; those that are not named are everyone's.
pub type HolderTable = BTreeMap<ModelName, Holders>;

/// A tenant's hold on a model that has not come yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What is fetched.
    pub model: ModelName,
    /// For whom.
    pub tenant: Owner,
    /// Since when.
    pub at: Timestamp,
}

impl Store {
    /// Who holds which model. A holder that can't be read holds nothing, and nobody else gets its part.
    pub async fn holders(&self) -> Result<HolderTable, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT model, holder FROM model_holders").fetch_all(&self.reader).await?;
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

    /// Adds a holder of a model, `None` for everyone, unless it is one; with an entry in the audit log.
    pub async fn hold_model(
        &self,
        model: &ModelName,
        holder: Option<&Owner>,
        entry: Option<&AuditEntry>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        hold(&mut tx, model, holder, now).await?;
        if let Some(entry) = entry {
            audit(&mut tx, entry, now).await?;
        }
        self.commit(tx, "hold-model").await
    }

    /// Adds a holder of a model that is fetched for it, as [`Store::hold_model`]; for a tenant it is a claim until the
    /// model has been seen.
    pub async fn claim_model(
        &self,
        model: &ModelName,
        holder: Option<&Owner>,
        entry: Option<&AuditEntry>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let is_new = hold(&mut tx, model, holder, now).await?;
        if let (true, Some(tenant)) = (is_new, holder) {
            sqlx::query("INSERT INTO model_claims (model, holder, at) VALUES (?, ?, ?)")
                .bind(model.as_str())
                .bind(tenant.as_str())
                .bind(now.0)
                .execute(&mut *tx)
                .await?;
        }
        if let Some(entry) = entry {
            audit(&mut tx, entry, now).await?;
        }
        self.commit(tx, "claim-model").await
    }

    /// The claims, and since when each is made.
    pub async fn claims(&self) -> Result<Vec<Claim>, StoreError> {
        let rows: Vec<(String, String, i64)> =
            sqlx::query_as("SELECT model, holder, at FROM model_claims").fetch_all(&self.reader).await?;
        let read = |(model, holder, at): (String, String, i64)| {
            let (model, tenant) = (ModelName::parse(&model).ok()?, Owner::parse(&holder).ok()?);
            Some(Claim { model, tenant, at: Timestamp(at) })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// The model of a claim has come: its tenant holds it whatever becomes of its files.
    pub async fn keep_claim(&self, claim: &Claim) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query("DELETE FROM model_claims WHERE model = ? AND holder = ?")
            .bind(claim.model.as_str())
            .bind(claim.tenant.as_str())
            .execute(&mut *tx)
            .await?;
        self.commit(tx, "keep-claim").await
    }

    /// Gives a claim up, unless it has been kept or made anew meanwhile.
    pub async fn drop_claim(&self, claim: &Claim) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(
            "DELETE FROM model_holders WHERE model = ?1 AND holder = ?2 \
             AND EXISTS (SELECT 1 FROM model_claims WHERE model = ?1 AND holder = ?2 AND at = ?3)",
        )
        .bind(claim.model.as_str())
        .bind(claim.tenant.as_str())
        .bind(claim.at.0)
        .execute(&mut *tx)
        .await?;
        self.commit(tx, "drop-claim").await
    }

    /// Makes these the holders of a model; with an entry in the audit log. `None` makes it everyone's.
    pub async fn share_model(
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

    /// Removes a holder, or, for `None`, all of them; with an entry in the audit log.
    pub async fn unhold_model(
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

    /// The revisions that endpoints were created with.
    pub async fn model_pins(&self) -> Result<BTreeMap<EndpointId, String>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT endpoint, pin FROM model_pins").fetch_all(&self.reader).await?;
        Ok(rows.into_iter().filter_map(|(id, pin)| Some((id.parse().ok()?, pin))).collect())
    }

    /// The revision that an endpoint was created with, where that is known.
    pub async fn model_pin(&self, endpoint: EndpointId) -> Result<Option<String>, StoreError> {
        let pin = sqlx::query_scalar("SELECT pin FROM model_pins WHERE endpoint = ?")
            .bind(endpoint.to_string())
            .fetch_optional(&self.reader)
            .await?;
        Ok(pin)
    }

    /// Says which revision an endpoint is of, if nobody has said so yet.
    pub async fn pin_model(&self, endpoint: EndpointId, pin: &str) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        insert_pin(&mut tx, endpoint, pin).await?;
        self.commit(tx, "pin-model").await
    }

    /// Pins an endpoint to another revision, and tells so in its history.
    pub async fn repin_model(
        &self,
        endpoint: EndpointId,
        pin: &str,
        message: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let done = sqlx::query("UPDATE model_pins SET pin = ? WHERE endpoint = ? AND pin <> ?")
            .bind(pin)
            .bind(endpoint.to_string())
            .bind(pin)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() > 0 {
            add_event(&mut tx, now, endpoint, None, EventKind::ModelChanged, message).await?;
        }
        self.commit(tx, "repin-model").await
    }

    /// Tells in an endpoint's history that its model is another, unless that was told last.
    pub async fn tell_model_changed(
        &self,
        endpoint: EndpointId,
        message: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let last: Option<String> = sqlx::query_scalar(
            "SELECT message FROM events WHERE endpoint = ? AND kind = ? ORDER BY id DESC LIMIT 1",
        )
        .bind(endpoint.to_string())
        .bind(EventKind::ModelChanged.as_str())
        .fetch_optional(&self.reader)
        .await?;
        if last.as_deref() == Some(message) {
            return Ok(());
        }
        self.note(endpoint, EventKind::ModelChanged, message, now).await
    }
}

/// Whether it was no holder before.
async fn hold(
    tx: &mut Transaction<'static, Sqlite>,
    model: &ModelName,
    holder: Option<&Owner>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done =
        sqlx::query("INSERT INTO model_holders (model, holder, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
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
    sqlx::query("DELETE FROM model_holders WHERE model = ? AND (? IS NULL OR holder = ?)")
        .bind(model.as_str())
        .bind(holder.map(Owner::as_str))
        .bind(holder.map(Owner::as_str))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The same in the transaction that makes the endpoint.
pub(super) async fn insert_pin(
    tx: &mut Transaction<'static, Sqlite>,
    endpoint: EndpointId,
    pin: &str,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO model_pins (endpoint, pin) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(endpoint.to_string())
        .bind(pin)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

use std::collections::BTreeSet;

use async_trait::async_trait;
use dedi_domain::model_rights::Holders;
use dedi_domain::{ModelName, Owner, Timestamp};

use super::MemoryStore;
use crate::store::{AuditEntry, Claim, HolderStore, HolderTable, StoreError};

#[async_trait]
impl HolderStore for MemoryStore {
    async fn holders(&self) -> Result<HolderTable, StoreError> {
        let tables = self.read()?;
        let held = tables.holders.iter().filter(|(_, by)| !by.is_empty()).map(|(model, by)| {
            let tenants: Option<BTreeSet<Owner>> = by.iter().cloned().collect();
            (model.clone(), tenants.map_or(Holders::Everyone, Holders::Tenants))
        });
        Ok(held.collect())
    }

    async fn add_holder(
        &self,
        model: &ModelName,
        holder: Option<&Owner>,
        claims: bool,
        entry: Option<&AuditEntry>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        let is_new = tables.holders.entry(model.clone()).or_default().insert(holder.cloned());
        if let (true, Some(tenant)) = (claims && is_new, holder) {
            tables.claims.insert((model.clone(), tenant.clone()), now);
        }
        if let Some(entry) = entry {
            tables.audit(entry, now);
        }
        Ok(())
    }

    async fn claims(&self) -> Result<Vec<Claim>, StoreError> {
        let tables = self.read()?;
        let claim = |((model, tenant), at): (&(ModelName, Owner), &Timestamp)| Claim {
            model: model.clone(),
            tenant: tenant.clone(),
            at: *at,
        };
        Ok(tables.claims.iter().map(claim).collect())
    }

    async fn keep_claim(&self, claim: &Claim) -> Result<(), StoreError> {
        self.write()?.claims.remove(&(claim.model.clone(), claim.tenant.clone()));
        Ok(())
    }

    async fn drop_claim(&self, claim: &Claim) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        let of = (claim.model.clone(), claim.tenant.clone());
        if tables.claims.get(&of) == Some(&claim.at) {
            tables.claims.remove(&of);
            tables.holders.entry(of.0).or_default().remove(&Some(of.1));
        }
        Ok(())
    }

    async fn share_model(
        &self,
        model: &ModelName,
        holders: Option<&BTreeSet<Owner>>,
        entry: &AuditEntry,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        let by = holders.map_or_else(|| [None].into(), |it| it.iter().cloned().map(Some).collect());
        tables.holders.insert(model.clone(), by);
        tables.claims.retain(|(of, _), _| of != model);
        tables.audit(entry, now);
        Ok(())
    }

    async fn unhold_model(
        &self,
        model: &ModelName,
        holder: Option<&Owner>,
        entry: Option<&AuditEntry>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        if let Some(by) = tables.holders.get_mut(model) {
            by.retain(|it| holder.is_some_and(|gone| it.as_ref() != Some(gone)));
        }
        tables.claims.retain(|(of, tenant), _| of != model || holder.is_some_and(|gone| tenant != gone));
        if let Some(entry) = entry {
            tables.audit(entry, now);
        }
        Ok(())
    }
}

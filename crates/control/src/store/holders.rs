//! Whose models are.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use dedi_domain::model_rights::Holders;
use dedi_domain::{ModelName, Owner, Timestamp};

use super::audit::AuditEntry;
use super::error::StoreError;

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

/// Whose models are. Every change is one transaction with its audit entry, durable when the method returns.
#[async_trait]
pub trait HolderStore: Send + Sync {
    /// Who holds which model. A holder that can't be read holds nothing, and nobody else gets its part.
    async fn holders(&self) -> Result<HolderTable, StoreError>;

    /// Adds a holder of a model, `None` for everyone, unless it is one. A tenant that is added for what is being fetched
    /// claims it until the model has been seen.
    async fn add_holder(
        &self,
        model: &ModelName,
        holder: Option<&Owner>,
        claims: bool,
        entry: Option<&AuditEntry>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Adds a holder of a model that is here.
    async fn hold_model(
        &self,
        model: &ModelName,
        holder: Option<&Owner>,
        entry: Option<&AuditEntry>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.add_holder(model, holder, false, entry, now).await
    }

    /// Adds a holder of a model that is fetched for it.
    async fn claim_model(
        &self,
        model: &ModelName,
        holder: Option<&Owner>,
        entry: Option<&AuditEntry>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.add_holder(model, holder, true, entry, now).await
    }

    /// The claims, and since when each is made.
    async fn claims(&self) -> Result<Vec<Claim>, StoreError>;

    /// The model of a claim has come: its tenant holds it whatever becomes of its files.
    async fn keep_claim(&self, claim: &Claim) -> Result<(), StoreError>;

    /// Gives a claim up, unless it has been kept or made anew meanwhile.
    async fn drop_claim(&self, claim: &Claim) -> Result<(), StoreError>;

    /// Makes these the holders of a model. `None` makes it everyone's.
    async fn share_model(
        &self,
        model: &ModelName,
        holders: Option<&BTreeSet<Owner>>,
        entry: &AuditEntry,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Removes a holder, or, for `None`, all of them.
    async fn unhold_model(
        &self,
        model: &ModelName,
        holder: Option<&Owner>,
        entry: Option<&AuditEntry>,
        now: Timestamp,
    ) -> Result<(), StoreError>;
}

//! The operator says whose a model is.

use std::collections::BTreeSet;

use dedi_domain::model_rights::{Holders, ModelAct};
use dedi_domain::{ModelName, Owner};

use super::{Models, must_by_role};
use crate::service::caller::Caller;
use crate::service::error::ServiceError;
use crate::store::AuditAction;

/// Tenants that may hold one model.
pub(crate) const HOLDERS_MAX: usize = 1_000;

impl Models {
    /// Who holds the model after this; without new `holders`, who does now.
    pub(crate) async fn share(
        &self,
        caller: &Caller,
        model: &ModelName,
        holders: Option<Holders>,
    ) -> Result<Holders, ServiceError> {
        must_by_role(caller, ModelAct::Share)?;
        self.must(caller, model, ModelAct::Share).await?;
        let known = self.store.holders().await?.remove(model);
        if known.is_none() && !self.is_here(model).await? {
            return Err(ServiceError::no_model(model.as_str()));
        }
        let Some(holders) = holders else { return Ok(known.unwrap_or(Holders::Everyone)) };
        let (whose, tenants) = match &holders {
            Holders::Everyone => ("everyone's".to_owned(), None),
            Holders::Tenants(tenants) => (format!("that of {}", listed(tenants)?), Some(tenants)),
        };
        let entry = caller.audit_entry(AuditAction::ModelShare, model.as_str(), format!("made it {whose}"));
        self.store.share_model(model, tenants, &entry, self.clock.now()).await?;
        self.barrier.ask().await;
        Ok(holders)
    }
}

fn listed(tenants: &BTreeSet<Owner>) -> Result<String, ServiceError> {
    if tenants.is_empty() {
        let message = "holders must name an account; null makes the model everyone's";
        return Err(ServiceError::invalid("holders", message));
    }
    if tenants.len() > HOLDERS_MAX {
        let message = format!("holders may name {HOLDERS_MAX} accounts, got {}", tenants.len());
        return Err(ServiceError::invalid("holders", message));
    }
    Ok(tenants.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

//! Removes a model from the store, or the caller's part of one that others hold too.

use std::time::Duration;

use dedi_domain::ModelName;
use dedi_domain::model_rights::{Holding, ModelAct};

use super::holders::named;
use super::{Models, must_by_role};
use crate::models::{ModelError, READ_MAX, access};
use crate::service::caller::Caller;
use crate::service::error::{Conflict, ServiceError, Unsupported};
use crate::store::AuditAction;

/// Longest wait for a model's files to be removed; it goes on after that.
const REMOVE_MAX: Duration = Duration::from_secs(30);

impl Models {
    /// Removes a model, with whatever is on its way of it; with `force` also from stopped endpoints that were created
    /// with it.
    pub(crate) async fn remove(
        &self,
        caller: &Caller,
        model: &ModelName,
        force: bool,
    ) -> Result<(), ServiceError> {
        must_by_role(caller, ModelAct::Remove)?;
        let holding = self.must(caller, model, ModelAct::Remove).await?;
        let is_part = holding == Holding::Joint && !caller.is_admin();
        self.must_be_unused(caller, model, is_part, force).await?;
        match is_part {
            true => self.give_up(caller, model).await?,
            false => self.remove_whole(caller, model).await?,
        }
        self.barrier.ask().await;
        Ok(())
    }

    async fn give_up(&self, caller: &Caller, model: &ModelName) -> Result<(), ServiceError> {
        self.pulls.leave(model, caller.owner());
        let message = "gave up its part of a model that others hold too".to_owned();
        let entry = caller.audit_entry(AuditAction::ModelRemove, model.as_str(), message);
        let now = self.clock.now();
        Ok(self.store.unhold_model(model, Some(caller.owner()), Some(&entry), now).await?)
    }

    async fn remove_whole(&self, caller: &Caller, model: &ModelName) -> Result<(), ServiceError> {
        let now = self.clock.now();
        self.checks.call_off(model);
        let was_called_off = self.pulls.call_off(model).await;
        let name = model.clone();
        let was_there = match self.reader.ask(REMOVE_MAX, move |models| models.remove(&name)).await? {
            Ok(was_there) => was_there,
            Err(err) if access::is_read_only(&err) => {
                let why = access::said(self.reader.folder(), &err);
                return Err(ServiceError::Unsupported {
                    by: Unsupported::StoreReadOnlyForModel,
                    message: format!("{model} can't be removed: {why}"),
                });
            }
            Err(err) => {
                tracing::error!(%model, error = %err, "a model could not be removed");
                return Err(ServiceError::Internal);
            }
        };
        // Also where there was nothing but a claim to what never came.
        let message = || "removed it".to_owned();
        let entry = (was_there || was_called_off)
            .then(|| caller.audit_entry(AuditAction::ModelRemove, model.as_str(), message()));
        self.store.unhold_model(model, None, entry.as_ref(), now).await?;
        if entry.is_none() {
            return Err(self.why_not_removed(model).await);
        }
        tracing::info!(%model, by = %caller.0.key, "removed a model");
        Ok(())
    }

    /// Refuses while endpoints need the model; of what is held jointly, while the caller's do.
    async fn must_be_unused(
        &self,
        caller: &Caller,
        model: &ModelName,
        is_part: bool,
        force: bool,
    ) -> Result<(), ServiceError> {
        let users = self.users(caller, model).await?;
        let users: Vec<_> = users.iter().filter(|it| it.is_own || !is_part).collect();
        let running: Vec<_> = users.iter().filter(|it| it.runs).copied().collect();
        let in_use = |message: String| ServiceError::Conflict { with: Conflict::ModelInUse, message };
        if !running.is_empty() {
            let which = named(&running);
            return Err(in_use(format!("{model} is in use by {which}: stop or delete them first")));
        }
        let are_foreign = users.iter().any(|it| !it.is_own) && !caller.is_admin();
        if !users.is_empty() && (are_foreign || !force) {
            let which = named(&users);
            let todo = match are_foreign {
                true => "an admin of this server can remove it",
                false => "delete them first, or remove it all the same with --force (?force=true)",
            };
            return Err(in_use(format!("{model} is needed by {which}, which could not start again: {todo}")));
        }
        Ok(())
    }

    /// Why there was nothing to remove: where the name leads says more than that nothing is there.
    async fn why_not_removed(&self, model: &ModelName) -> ServiceError {
        let name = model.clone();
        match self.reader.ask(READ_MAX, move |models| models.files(&name)).await {
            Ok(Err(err @ ModelError::Unusable(_))) => ServiceError::of_model(model, err),
            Ok(Ok(_) | Err(ModelError::Absent(_) | ModelError::Unreadable(_))) | Err(_) => {
                ServiceError::no_model(model.as_str())
            }
        }
    }
}

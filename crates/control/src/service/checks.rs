//! Reads a model's files again and compares them with what they must be. The store is the host's, so only those who
//! manage a tenant may ask.

use std::sync::Arc;

use dedi_domain::ModelName;
use dedi_domain::model_rights::ModelAct;

use super::caller::Caller;
use super::error::{Absent, ServiceError, Unsupported};
use super::models::{Models, must_by_role};
use crate::models::{Check, READ_MAX, Scope, access};
use crate::store::{AuditAction, EventKind};

pub(crate) struct ModelChecks {
    models: Arc<Models>,
}

impl ModelChecks {
    pub(crate) fn new(models: Arc<Models>) -> Self {
        Self { models }
    }

    /// Begins a check; with `accepts` the files as they are now are what they must be from then on.
    pub(crate) async fn start(
        &self,
        caller: &Caller,
        model: &ModelName,
        accepts: bool,
    ) -> Result<Check, ServiceError> {
        let (scope, act) = match accepts {
            true => (Scope::Accept, ModelAct::Accept),
            false => (Scope::All, ModelAct::Verify),
        };
        must_by_role(caller, ModelAct::Verify)?;
        self.models.must(caller, model, act).await?;
        let name = model.clone();
        let read = self.models.reader.ask(READ_MAX, move |models| {
            let obstacle = accepts.then(|| access::obstacle(models.folder())).flatten();
            (models.files(&name), models.stamps(&name), obstacle)
        });
        let (found, stamps, obstacle) = read.await?;
        found.map_err(|err| ServiceError::of_model(model, err))?;
        if let Some(why) = obstacle {
            // After a restart the files would be the wrong ones again.
            return Err(ServiceError::Unsupported {
                by: Unsupported::StoreReadOnlyForAccept,
                message: format!(
                    "what the files of {model} are can't be written down: {why}; nothing was accepted"
                ),
            });
        }
        let check = self.models.checks.start(model, scope, stamps.ok().map(|(stamps, _)| stamps));
        self.record(caller, model, accepts).await?;
        tracing::info!(%model, by = %caller.0.key, accepts, "a check of a model's files was asked for");
        Ok(check)
    }

    /// The last check of a model.
    pub(crate) async fn get(&self, caller: &Caller, model: &ModelName) -> Result<Check, ServiceError> {
        must_by_role(caller, ModelAct::Verify)?;
        self.models.must(caller, model, ModelAct::Verify).await?;
        let check = self.models.checks.get(model);
        check.ok_or_else(|| ServiceError::NotFound(Absent::Check(model.clone())))
    }

    /// Writes down that it was asked for; and, where the files are accepted, into the history of each endpoint.
    async fn record(&self, caller: &Caller, model: &ModelName, accepts: bool) -> Result<(), ServiceError> {
        let (store, now) = (&self.models.store, self.models.clock.now());
        let (action, message) = match accepts {
            true => (AuditAction::ModelAccept, "its files are taken as they are"),
            false => (AuditAction::ModelVerify, "its files are read again"),
        };
        store.add_audit(&caller.audit_entry(action, model.as_str(), message.to_owned()), now).await?;
        if accepts {
            for row in store.snapshot().await? {
                if row.desired.model == *model && !row.desired.deleted {
                    let message = format!("the files of {model} are taken for right as they are now");
                    store.note(row.desired.id, EventKind::ModelChanged, &message, now).await?;
                }
            }
        }
        Ok(())
    }
}

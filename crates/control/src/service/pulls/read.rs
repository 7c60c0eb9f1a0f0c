//! Shows downloads: to those who asked for them, and, where nobody in particular did, to those who see the model.

use dedi_domain::ModelName;
use dedi_domain::model_rights::ModelAct;

use super::ModelPulls;
use crate::hub::{Ahead, Pull};
use crate::ownership;
use crate::service::caller::Caller;
use crate::service::error::{Absent, ServiceError};
use crate::service::models::{must_by_role, shows};

impl ModelPulls {
    pub(crate) async fn list(&self, caller: &Caller) -> Result<Vec<Pull>, ServiceError> {
        must_by_role(caller, ModelAct::Pull)?;
        let mut seen = Vec::new();
        for pull in self.models.pulls.all() {
            if self.shows(caller, &pull).await? {
                seen.push(pull);
            }
        }
        Ok(seen)
    }

    pub(crate) async fn get(&self, caller: &Caller, model: &ModelName) -> Result<Pull, ServiceError> {
        must_by_role(caller, ModelAct::Pull)?;
        let Self { models } = self;
        // Who reads that it is done finds it done.
        ownership::settle(&models.pulls, &models.reader, models.store.as_ref(), &models.clock).await;
        let unknown = || ServiceError::NotFound(Absent::Pull(model.clone()));
        let pull = models.pulls.get(model).ok_or_else(unknown)?;
        if self.shows(caller, &pull).await? { Ok(pull) } else { Err(unknown()) }
    }

    /// What a queued download waits for.
    pub(crate) fn ahead(&self, pull: &Pull) -> Ahead {
        self.models.pulls.ahead(pull)
    }

    async fn shows(&self, caller: &Caller, pull: &Pull) -> Result<bool, ServiceError> {
        let model = &pull.source.model;
        if !caller.0.scope.has_model(model) {
            return Ok(false);
        }
        let asked = caller.is_admin() || pull.askers.contains(caller.owner());
        let holders = self.models.store.holders().await?;
        Ok(asked || pull.askers.is_empty() && shows(&holders, caller, model))
    }
}

//! What requests read of a model's files.

use dedi_domain::ModelName;
use dedi_domain::fit::ModelFacts;

use super::Models;
use crate::models::{ModelError, READ_MAX};
use crate::service::error::ServiceError;

impl Models {
    /// What the model's files say, or why it can't be deployed.
    pub(crate) async fn deployable(&self, model: &ModelName) -> Result<ModelFacts, ServiceError> {
        let name = model.clone();
        let facts = self.reader.ask(READ_MAX, move |models| models.facts(&name)).await?;
        facts.map_err(|err| ServiceError::of_model(model, err))
    }

    /// Whether there are files of the model.
    pub(crate) async fn is_here(&self, model: &ModelName) -> Result<bool, ServiceError> {
        let name = model.clone();
        let found = self.reader.ask(READ_MAX, move |models| models.files(&name)).await?;
        Ok(!matches!(found, Err(ModelError::Absent(_))))
    }

    /// Which revision of the model is here, if it came from a hub.
    pub(crate) async fn pin(&self, model: &ModelName) -> Result<Option<String>, ServiceError> {
        let name = model.clone();
        let read = self.reader.ask(READ_MAX, move |models| models.pin(&name)).await?;
        // Where that can't be read now, the next pass says it.
        Ok(read.unwrap_or_default())
    }
}

//! Lists the models that can be deployed and the caller's running endpoints, which are asked for like models.

use dedi_domain::fit::ModelFacts;
use dedi_domain::{EndpointState, ModelName};

use super::Models;
use super::rights::shows;
use crate::hub::Manifest;
use crate::models::READ_MAX;
use crate::service::caller::Caller;
use crate::service::error::ServiceError;

/// One entry of the list.
pub(crate) struct Listed {
    /// What an inference request names.
    pub(crate) id: String,
    pub(crate) display_name: String,
    /// The model itself, or the endpoint's.
    pub(crate) model: ModelName,
    pub(crate) is_embedding: bool,
    /// Tokens that a request may have here.
    pub(crate) context_tokens: u32,
    /// Seconds since the epoch when its files were written.
    pub(crate) modified_secs: i64,
    /// Where it came from and under which licence; empty where nobody said.
    pub(crate) link: String,
    pub(crate) license: String,
}

/// A model that can be deployed.
struct Found {
    name: ModelName,
    facts: ModelFacts,
    manifest: Option<Manifest>,
    modified_millis: i64,
}

impl Models {
    /// The models that the caller may know of, and, unless only those are asked for, its started endpoints.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        only_deployable: bool,
    ) -> Result<Vec<Listed>, ServiceError> {
        let found = self.on_disk().await?;
        let holders = self.store.holders().await?;
        let seen = found.iter().filter(|it| shows(&holders, caller, &it.name));
        let mut listed: Vec<Listed> =
            seen.map(|it| self.listed(it.name.as_str(), it.name.base(), it)).collect();
        if !only_deployable {
            for endpoint in self.store.endpoints(caller.owner()).await? {
                let base = found.iter().find(|it| it.name == endpoint.model);
                if let (EndpointState::Started, Some(base), true) =
                    (endpoint.published, base, caller.shows(&endpoint))
                {
                    listed.push(self.listed(endpoint.name.as_str(), &endpoint.display_name, base));
                }
            }
        }
        Ok(listed)
    }

    /// One of the caller's list; what another tenant runs is as unknown as what nobody has.
    pub(crate) async fn get(&self, caller: &Caller, id: &str) -> Result<Listed, ServiceError> {
        let listed = self.list(caller, false).await?;
        listed.into_iter().find(|it| it.id == id).ok_or_else(|| ServiceError::no_model(id))
    }

    async fn on_disk(&self) -> Result<Vec<Found>, ServiceError> {
        let read = self.reader.ask(READ_MAX, |models| {
            let found = models.list().into_iter().filter_map(|name| {
                let facts = models.facts(&name).ok()?;
                let files = models.files(&name).ok()?;
                let manifest = Manifest::read(&files.folder);
                Some(Found { name, facts, manifest, modified_millis: files.modified })
            });
            found.collect()
        });
        Ok(read.await?)
    }

    fn listed(&self, id: &str, display_name: &str, of: &Found) -> Listed {
        Listed {
            id: id.to_owned(),
            display_name: display_name.to_owned(),
            model: of.name.clone(),
            is_embedding: of.facts.is_embedding,
            context_tokens: self.config.serving(Some(&of.facts)).context_tokens,
            modified_secs: of.modified_millis / 1_000,
            link: of.manifest.as_ref().map(Manifest::link).unwrap_or_default(),
            license: of.manifest.as_ref().map(|it| it.license.clone()).unwrap_or_default(),
        }
    }
}

//! Whose a model is, and which endpoints need it.

use dedi_domain::ModelName;
use dedi_domain::plural::count;

use super::Models;
use crate::hub::{Manifest, Source};
use crate::models::READ_MAX;
use crate::service::caller::Caller;
use crate::service::error::ServiceError;

/// An endpoint of a model, to those who decide about the model.
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) is_own: bool,
    pub(crate) runs: bool,
}

impl Models {
    /// Whether a create may join the holders of a model that others fetched: where it would fetch the model itself, and
    /// would get the same, since they took the hub's usual revision.
    pub(crate) async fn may_join(&self, caller: &Caller, model: &ModelName) -> Result<bool, ServiceError> {
        if !caller.0.scope.has_model(model) {
            return Ok(false);
        }
        let usual = Source::of(model.clone());
        let name = model.clone();
        let read = self
            .reader
            .ask(READ_MAX, move |models| models.files(&name).ok().map(|it| Manifest::read(&it.folder)));
        Ok(match read.await? {
            Some(Some(manifest)) => manifest.revision == usual.revision && self.pulls.is_of_hub(&manifest),
            // Somebody put it there.
            Some(None) => false,
            None => !self.pulls.is_other(&usual),
        })
    }

    /// The caller's tenant is to hold a model that is fetched for it; an admin's is everyone's.
    pub(crate) async fn claim(&self, caller: &Caller, model: &ModelName) -> Result<(), ServiceError> {
        Ok(self.store.claim_model(model, caller.reach(), None, self.clock.now()).await?)
    }

    /// The endpoints of a model, deleted ones that still run among them.
    pub(crate) async fn users(&self, caller: &Caller, model: &ModelName) -> Result<Vec<User>, ServiceError> {
        let rows = self.store.snapshot().await?;
        let used = rows.into_iter().filter(|it| it.desired.model == *model);
        let used = used.filter(|it| !it.desired.deleted || !it.replicas.is_empty());
        Ok(used
            .map(|it| User {
                id: it.desired.id.to_string(),
                is_own: it.desired.owner == *caller.owner(),
                runs: it.desired.wants_replicas() || !it.replicas.is_empty(),
            })
            .collect())
    }
}

/// `2 endpoints, endpoint-1, endpoint-2`; others' are counted only.
pub(crate) fn named(users: &[&User]) -> String {
    let own: Vec<&str> = users.iter().filter(|it| it.is_own).map(|it| it.id.as_str()).take(10).collect();
    let which = if own.is_empty() { "of other accounts".to_owned() } else { own.join(", ") };
    format!("{}, {which}", count(users.len() as u64, "endpoint"))
}

//! What the caller may do with a model: its role, its key's list, and whose the model is.

use dedi_domain::ModelName;
use dedi_domain::model_rights::{Holders, Holding, ModelAct, Verdict};

use super::Models;
use crate::service::caller::Caller;
use crate::service::error::ServiceError;
use crate::store::HolderTable;

impl Models {
    /// What the model is to the caller's tenant, if the caller may do this with it.
    pub(crate) async fn must(
        &self,
        caller: &Caller,
        model: &ModelName,
        act: ModelAct,
    ) -> Result<Holding, ServiceError> {
        must_by_role(caller, act)?;
        if !caller.0.scope.has_model(model) {
            return Err(ServiceError::no_model(model.as_str()));
        }
        let holders = self.store.holders().await?;
        let holding = holding(&holders, caller, model);
        match act.verdict(caller.0.role, holding) {
            Verdict::Yes => Ok(holding),
            Verdict::Absent => Err(ServiceError::no_model(model.as_str())),
            // What is not there is nobody's.
            Verdict::Forbidden if !holders.contains_key(model) && !self.is_here(model).await? => {
                Err(ServiceError::no_model(model.as_str()))
            }
            Verdict::Forbidden => {
                let (role, act) = (caller.0.role.as_str(), act.sentence());
                let whose = match holding {
                    Holding::Operators => "is the operator's",
                    Holding::Own | Holding::Joint | Holding::Foreign => "is held by other accounts too",
                };
                Err(ServiceError::Forbidden(format!(
                    "Model {model} {whose}: a key with the role `{role}` has no permission to {act}; ask an admin of this \
                     server"
                )))
            }
        }
    }
}

/// Refuses a role that may do this with no model.
pub(crate) fn must_by_role(caller: &Caller, act: ModelAct) -> Result<(), ServiceError> {
    match act.verdict(caller.0.role, Holding::Own) {
        Verdict::Yes => Ok(()),
        Verdict::Forbidden | Verdict::Absent => Err(caller.forbidden(act.sentence())),
    }
}

/// What the model is to the caller's tenant. Without a word about it, it is the operator's.
fn holding(holders: &HolderTable, caller: &Caller, model: &ModelName) -> Holding {
    holders.get(model).map_or(Holding::Operators, |it: &Holders| it.holding(caller.owner()))
}

/// Whether the caller may know of the model.
pub(crate) fn shows(holders: &HolderTable, caller: &Caller, model: &ModelName) -> bool {
    let is_seen = caller.is_admin() || holding(holders, caller, model) != Holding::Foreign;
    is_seen && caller.0.scope.has_model(model)
}

//! What the caller may do with a model: its role, its key's list, and whose the model is. The table is
//! [`dedi_domain::model_rights`].

use dedi_domain::model_rights::{Holders, Holding, ModelAct, Verdict};
use dedi_domain::{ModelName, Role};

use super::auth::Caller;
use super::deployable::{no_answer, no_model};
use super::error::ApiError;
use crate::models::READ_MAX;
use crate::shared::Shared;
use crate::store::HolderTable;

/// What the model is to the caller's tenant, if the caller may do this with it.
pub(super) async fn must(
    shared: &Shared,
    caller: &Caller,
    model: &ModelName,
    act: ModelAct,
) -> Result<Holding, ApiError> {
    must_by_role(caller, act)?;
    if !caller.0.scope.has_model(model) {
        return Err(no_model(model.as_str()));
    }
    let holders = shared.store.holders().await?;
    let holding = holding(&holders, caller, model);
    match act.verdict(caller.0.role, holding) {
        Verdict::Yes => Ok(holding),
        Verdict::Absent => Err(no_model(model.as_str())),
        // What is not there is nobody's.
        Verdict::Forbidden if !holders.contains_key(model) && !is_here(shared, model).await? => {
            Err(no_model(model.as_str()))
        }
        Verdict::Forbidden => {
            let (role, act) = (caller.0.role.as_str(), act.sentence());
            let whose = match holding {
                Holding::Operators => "is the operator's",
                Holding::Own | Holding::Joint | Holding::Foreign => "is held by other accounts too",
            };
            Err(ApiError::Forbidden(format!(
                "Model {model} {whose}: a key with the role `{role}` has no permission to {act}; ask an admin of this \
                 server"
            )))
        }
    }
}

/// Refuses a role that may do this with no model.
pub(super) fn must_by_role(caller: &Caller, act: ModelAct) -> Result<(), ApiError> {
    match act.verdict(caller.0.role, Holding::Own) {
        Verdict::Yes => Ok(()),
        Verdict::Forbidden | Verdict::Absent => {
            let role = caller.0.role.as_str();
            Err(ApiError::Forbidden(format!(
                "This API key has the role `{role}`, which has no permission to {}",
                act.sentence()
            )))
        }
    }
}

/// What the model is to the caller's tenant. Without a word about it, it is the operator's.
pub(super) fn holding(holders: &HolderTable, caller: &Caller, model: &ModelName) -> Holding {
    holders.get(model).map_or(Holding::Operators, |it: &Holders| it.holding(&caller.0.owner))
}

/// Whether the caller may know of the model.
pub(super) fn shows(holders: &HolderTable, caller: &Caller, model: &ModelName) -> bool {
    let is_seen = caller.0.role == Role::Admin || holding(holders, caller, model) != Holding::Foreign;
    is_seen && caller.0.scope.has_model(model)
}

/// Whether there are files of the model.
pub(super) async fn is_here(shared: &Shared, model: &ModelName) -> Result<bool, ApiError> {
    let name = model.clone();
    let found = shared.read_models(READ_MAX, move |models| models.files(&name)).await.map_err(no_answer)?;
    Ok(!matches!(found, Err(crate::models::ModelError::Absent(_))))
}

//! What requests change about whose a model is, and about which revision endpoints are of.

use dedi_domain::{ModelName, Role};

use super::auth::Caller;
use super::deployable::no_answer;
use super::error::ApiError;
use super::{audit, model_rights};
use crate::hub::{Manifest, Source};
use crate::models::READ_MAX;
use crate::shared::Shared;
use crate::store::{AuditAction, EventKind};

/// Whether a create may join the holders of a model that others fetched: where it would fetch the model itself, and
/// would get the same, since they took the hub's usual revision.
pub(super) async fn may_join(shared: &Shared, caller: &Caller, model: &ModelName) -> Result<bool, ApiError> {
    if !caller.0.scope.has_model(model) {
        return Ok(false);
    }
    let usual = Source::of(model.clone());
    let name = model.clone();
    let read = shared.read_models(READ_MAX, move |models| {
        models.files(&name).ok().map(|files| Manifest::read(&files.folder))
    });
    Ok(match read.await.map_err(no_answer)? {
        Some(Some(manifest)) => manifest.revision == usual.revision && shared.pulls.is_of_hub(&manifest),
        // Somebody put it there.
        Some(None) => false,
        None => !shared.pulls.is_other(&usual),
    })
}

/// The caller's tenant is to hold a model that is fetched for it; an admin's is everyone's.
pub(super) async fn claim(shared: &Shared, caller: &Caller, model: &ModelName) -> Result<(), ApiError> {
    let holder = (caller.0.role != Role::Admin).then_some(&caller.0.owner);
    Ok(shared.store.claim_model(model, holder, None, shared.clock.now()).await?)
}

/// Which revision of the model is here, if it came from a hub.
pub(super) async fn pin(shared: &Shared, model: &ModelName) -> Result<Option<String>, ApiError> {
    let name = model.clone();
    let read = shared.read_models(READ_MAX, move |models| models.pin(&name));
    // Where that can't be read now, the next pass says it.
    Ok(read.await.map_err(no_answer)?.unwrap_or_default())
}

/// That a model's files are read again; and, where they are taken as they are, to each endpoint of the model.
pub(super) async fn tell_check(
    shared: &Shared,
    caller: &Caller,
    model: &ModelName,
    accepts: bool,
) -> Result<(), ApiError> {
    let now = shared.clock.now();
    let (action, message) = match accepts {
        true => (AuditAction::ModelAccept, "its files are taken as they are"),
        false => (AuditAction::ModelVerify, "its files are read again"),
    };
    shared.store.add_audit(&audit::entry(caller, action, model.as_str(), message.to_owned()), now).await?;
    if accepts {
        for row in shared.store.snapshot().await? {
            if row.desired.model == *model && !row.desired.deleted {
                let message = format!("the files of {model} are taken for right as they are now");
                shared.store.note(row.desired.id, EventKind::ModelChanged, &message, now).await?;
            }
        }
    }
    Ok(())
}

/// An endpoint of a model, to those who decide about the model.
pub(super) struct User {
    pub(super) id: String,
    pub(super) is_own: bool,
    pub(super) runs: bool,
}

/// The endpoints of a model, deleted ones that still run among them.
pub(super) async fn users(
    shared: &Shared,
    caller: &Caller,
    model: &ModelName,
) -> Result<Vec<User>, ApiError> {
    let rows = shared.store.snapshot().await?;
    let used = rows.into_iter().filter(|it| it.desired.model == *model);
    let used = used.filter(|it| !it.desired.deleted || !it.replicas.is_empty());
    Ok(used
        .map(|it| User {
            id: it.desired.id.to_string(),
            is_own: it.desired.owner == caller.0.owner,
            runs: it.desired.wants_replicas() || !it.replicas.is_empty(),
        })
        .collect())
}

/// `2 endpoints, endpoint-1, endpoint-2`; others' are counted only.
pub(super) fn named(users: &[&User]) -> String {
    let own: Vec<&str> = users.iter().filter(|it| it.is_own).map(|it| it.id.as_str()).take(10).collect();
    let which = if own.is_empty() { "of other accounts".to_owned() } else { own.join(", ") };
    format!("{}, {which}", dedi_domain::words::count(users.len() as u64, "endpoint"))
}

/// Whether the download of a model may be seen: by those who asked for it, and, where nobody in particular did, by
/// those who see the model.
pub(super) async fn shows_pull(
    shared: &Shared,
    caller: &Caller,
    pull: &crate::hub::Pull,
) -> Result<bool, ApiError> {
    let model = &pull.source.model;
    if !caller.0.scope.has_model(model) {
        return Ok(false);
    }
    let asked = caller.0.role == Role::Admin || pull.askers.contains(&caller.0.owner);
    let holders = shared.store.holders().await?;
    Ok(asked || pull.askers.is_empty() && model_rights::shows(&holders, caller, model))
}

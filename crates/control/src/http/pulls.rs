//! `/v1/pulls`: downloads of models from the hub. Those who manage a tenant fetch for it, an admin for everyone.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use dedi_api::{List, ModelPull, RefusalCode};
use dedi_domain::fetch::percent;
use dedi_domain::model_rights::{Holders, Holding, ModelAct};
use dedi_domain::words::count;
use dedi_domain::{ModelName, Owner, Role};

use super::auth::Caller;
use super::body::JsonBody;
use super::error::ApiError;
use super::{audit, model_rights, models, ownership};
use crate::hub::{Ask, Due, Phase, Pull, Source};
use crate::shared::Shared;
use crate::store::AuditAction;

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
) -> Result<Json<List<ModelPull>>, ApiError> {
    model_rights::must_by_role(&caller, ModelAct::Pull)?;
    let mut seen = Vec::new();
    for pull in shared.pulls.all() {
        if ownership::shows_pull(&shared, &caller, &pull).await? {
            seen.push(shown(&shared, &pull));
        }
    }
    Ok(Json(List::new(seen)))
}

pub(super) async fn start(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    body: JsonBody,
) -> Result<Json<ModelPull>, ApiError> {
    model_rights::must_by_role(&caller, ModelAct::Pull)?;
    let text = body.fields.text("model")?.flatten().unwrap_or_default();
    if text.trim().is_empty() {
        return Err(ApiError::field(
            "model",
            "model is required: ORG/NAME, with @REVISION or :FILE if need be",
        ));
    }
    let source = Source::parse(&text).map_err(|what| ApiError::field("model", what))?;
    let model = source.model.clone();
    let holding = model_rights::must(&shared, &caller, &model, ModelAct::Pull).await?;
    let of = holder(&caller, body.fields.text("owner")?.flatten())?;
    let replaces = body.fields.boolean("replace")?.flatten().unwrap_or(false);
    let holders = shared.store.holders().await?;
    let is_here = model_rights::is_here(&shared, &model).await?;
    let others = match holders.get(&model) {
        Some(Holders::Tenants(tenants)) => tenants.iter().any(|it| Some(it) != of.as_ref()),
        Some(Holders::Everyone) | None => false,
    };
    let in_progress = |message: String| ApiError::Invalid {
        message,
        param: Some("model".to_owned()),
        code: Some(RefusalCode::PullInProgress),
    };
    if !is_here && others && shared.pulls.is_other(&source) {
        return Err(in_progress(format!(
            "Another account fetches {model} in another revision or file; ask an admin of this server"
        )));
    }
    let mut ask = Ask { of: of.clone(), ..Ask::default() };
    if is_here {
        ask.keeps = keeps(&shared, &caller, &model, replaces).await?;
        if replaces {
            ask.dues.push(Due::Repin((caller.0.role != Role::Admin).then(|| caller.0.owner.clone())));
        }
    }
    let holds = of.as_ref().map_or(holding != Holding::Foreign, |of| {
        holders.get(&model).is_none_or(|it| it.holding(of) != Holding::Foreign)
    });
    // What others fetched is the caller's too when the hub has shown it the same; what is not here, at once, so that
    // nobody else sees it when it comes.
    let claims = !is_here && (!holds || !holders.contains_key(&model));
    match &of {
        Some(of) if is_here && !holds => ask.dues.push(Due::Hold(of.clone())),
        Some(of) if claims => ask.dues.push(Due::Unclaim(of.clone())),
        Some(_) | None => {}
    }
    tracing::info!(%model, by = %caller.0.key, "a download of {source} was asked for");
    let entry = audit::entry(&caller, AuditAction::ModelPull, model.as_str(), format!("asked for {source}"));
    let now = shared.clock.now();
    if claims {
        shared.store.claim_model(&model, of.as_ref(), Some(&entry), now).await?;
    } else {
        shared.store.add_audit(&entry, now).await?;
    }
    match shared.pulls.start(source, ask) {
        Ok(pull) => Ok(Json(shown(&shared, &pull))),
        Err(what) => {
            if claims && let Some(of) = &of {
                shared.store.unhold_model(&model, Some(of), None, now).await?;
            }
            Err(in_progress(what))
        }
    }
}

/// The tenant that a download is for; none for the operator.
fn holder(caller: &Caller, named: Option<String>) -> Result<Option<Owner>, ApiError> {
    let named =
        named.map(|it| Owner::parse(&it).map_err(|err| ApiError::field("owner", err.0))).transpose()?;
    match (caller.0.role == Role::Admin, named) {
        (true, named) => Ok(named),
        (false, None) => Ok(Some(caller.0.owner.clone())),
        (false, Some(named)) if named == caller.0.owner => Ok(Some(named)),
        (false, Some(_)) => {
            let message = "Only an admin key has permission to fetch models for another owner";
            Err(ApiError::Forbidden(message.to_owned()))
        }
    }
}

/// Why another revision must not take the place of the one that is here, if it must not.
async fn keeps(
    shared: &Shared,
    caller: &Caller,
    model: &ModelName,
    replaces: bool,
) -> Result<Option<String>, ApiError> {
    let stays = format!("{model} stays as it is");
    match model_rights::must(shared, caller, model, ModelAct::Replace).await {
        Ok(_) => {}
        Err(ApiError::Forbidden(_) | ApiError::NotFound(_)) => {
            return Ok(Some(format!(
                "{stays}: the store has it in another revision, which is not this account's alone; ask an admin of this \
                 server"
            )));
        }
        Err(err) => return Err(err),
    }
    let users = ownership::users(shared, caller, model).await?;
    let users: Vec<_> = users.iter().collect();
    let are_foreign = users.iter().any(|it| !it.is_own) && caller.0.role != Role::Admin;
    if users.is_empty() || (replaces && !are_foreign) {
        return Ok(None);
    }
    let which = ownership::named(&users);
    Ok(Some(format!(
        "{stays}: {which} need the revision that is here; with --replace (\"replace\": true) they are given this one at \
         their next launch"
    )))
}

pub(super) async fn retrieve(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<ModelPull>, ApiError> {
    model_rights::must_by_role(&caller, ModelAct::Pull)?;
    let model = models::named(path)?;
    // Who reads that it is done finds it done.
    crate::ownership::settle(&shared).await;
    let unknown = || ApiError::NotFound(format!("No download of {model} is known"));
    let pull = shared.pulls.get(&model).ok_or_else(unknown)?;
    match ownership::shows_pull(&shared, &caller, &pull).await? {
        true => Ok(Json(shown(&shared, &pull))),
        false => Err(unknown()),
    }
}

fn shown(shared: &Shared, pull: &Pull) -> ModelPull {
    let (state, commit, failure, ended_at) = match &pull.phase {
        Phase::Queued => ("queued", None, None, None),
        Phase::Running => ("running", None, None, None),
        Phase::Done { commit, at } => ("done", Some(commit.clone()), None, Some(*at)),
        Phase::Failed { what, code, at, .. } => ("failed", None, Some((what.clone(), *code)), Some(*at)),
    };
    let waits = match (&pull.phase, &pull.held_off) {
        (Phase::Queued, _) => {
            let ahead = shared.pulls.ahead(pull);
            Some(format!(
                "waits for {}; the running one has {} of {} MiB",
                count(ahead.n, "other download"),
                ahead.bytes_done >> 20,
                ahead.bytes_total >> 20
            ))
        }
        (Phase::Running, Some((what, wait))) => {
            Some(format!("{what}; it is asked again in {} s", wait.as_millis().div_ceil(1_000)))
        }
        (Phase::Running | Phase::Done { .. } | Phase::Failed { .. }, _) => None,
    };
    let is_done = matches!(pull.phase, Phase::Done { .. });
    let (message, code) = failure.unzip();
    ModelPull {
        object: "model.pull".to_owned(),
        model: pull.source.model.to_string(),
        revision: pull.source.revision.clone(),
        file: pull.source.file.clone(),
        state: state.to_owned(),
        percent: if is_done { Some(100) } else { pull.bytes_total.map(|it| percent(pull.bytes_done, it)) },
        bytes_done: pull.bytes_done,
        bytes_total: pull.bytes_total,
        bytes_kept: failure_is_told(&pull.phase).then_some(pull.bytes_kept),
        commit,
        code: code.map(|it| it.to_string()),
        message: message.or(waits),
        started_at: shared.clock.show(pull.started_at),
        ended_at: ended_at.map(|at| shared.clock.show(at)),
    }
}

fn failure_is_told(phase: &Phase) -> bool {
    match phase {
        Phase::Failed { .. } => true,
        Phase::Queued | Phase::Running | Phase::Done { .. } => false,
    }
}

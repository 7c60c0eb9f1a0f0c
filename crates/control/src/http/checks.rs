//! `/v1/checks`: reading a model's files again and comparing them with what they must be. The store is the host's,
//! so only those who manage a tenant may ask.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use dedi_api::{ModelCheck, RefusalCode};
use dedi_domain::ModelName;
use dedi_domain::fetch::percent;
use dedi_domain::model_rights::ModelAct;

use super::auth::Caller;
use super::body::JsonBody;
use super::deployable::{no_answer, no_model, not_deployable};
use super::error::ApiError;
use super::{model_rights, models, ownership};
use crate::models::{Check, READ_MAX, Scope, access};
use crate::shared::Shared;

pub(super) async fn start(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    body: JsonBody,
) -> Result<Json<ModelCheck>, ApiError> {
    model_rights::must_by_role(&caller, ModelAct::Verify)?;
    let text = body.fields.text("model")?.flatten().unwrap_or_default();
    if text.trim().is_empty() {
        return Err(ApiError::field("model", "model is required: ORG/NAME, as GET /v1/models lists it"));
    }
    let model = ModelName::parse(&text).map_err(|_malformed| no_model(&text))?;
    let accepts = body.fields.boolean("accept")?.flatten().unwrap_or(false);
    let (scope, act) = match accepts {
        true => (Scope::Accept, ModelAct::Accept),
        false => (Scope::All, ModelAct::Verify),
    };
    model_rights::must(&shared, &caller, &model, act).await?;
    let name = model.clone();
    let read = shared.read_models(READ_MAX, move |models| {
        let obstacle = accepts.then(|| access::obstacle(models.folder())).flatten();
        (models.files(&name), models.stamps(&name), obstacle)
    });
    let (found, stamps, obstacle) = read.await.map_err(no_answer)?;
    found.map_err(|err| not_deployable(&model, err))?;
    if let Some(why) = obstacle {
        // After a restart the files would be the wrong ones again.
        return Err(ApiError::Invalid {
            message: format!(
                "what the files of {model} are can't be written down: {why}; nothing was accepted"
            ),
            param: Some("accept".to_owned()),
            code: Some(RefusalCode::ModelStoreReadOnly),
        });
    }
    let check = shared.checks.start(&model, scope, stamps.ok().map(|(stamps, _)| stamps));
    ownership::tell_check(&shared, &caller, &model, accepts).await?;
    tracing::info!(%model, by = %caller.0.key, accepts, "a check of a model's files was asked for");
    Ok(Json(shown(&shared, &check)))
}

pub(super) async fn retrieve(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<ModelCheck>, ApiError> {
    model_rights::must_by_role(&caller, ModelAct::Verify)?;
    let model = models::named(path)?;
    model_rights::must(&shared, &caller, &model, ModelAct::Verify).await?;
    let check = shared.checks.get(&model);
    check
        .map(|it| Json(shown(&shared, &it)))
        .ok_or_else(|| ApiError::NotFound(format!("No check of {model} is known")))
}

fn shown(shared: &Shared, check: &Check) -> ModelCheck {
    let (state, message, right) = match &check.ended {
        None => ("running", None, None),
        Some((_, Ok(right))) => ("done", None, Some(right)),
        Some((_, Err(wrong))) => ("failed", Some(wrong.to_string()), None),
    };
    ModelCheck {
        object: "model.check".to_owned(),
        model: check.model.to_string(),
        state: state.to_owned(),
        percent: (check.bytes_total > 0).then(|| percent(check.bytes_done, check.bytes_total)),
        bytes_done: check.bytes_done,
        bytes_total: check.bytes_total,
        files: right.map(|it| it.n_files),
        files_new: right.map(|it| it.n_new),
        message,
        started_at: shared.clock.show(check.started_at),
        ended_at: check.ended.as_ref().map(|(at, _)| shared.clock.show(*at)),
    }
}

//! `/v1/pulls`: downloads of models from the hub. The store is the host's, so only those who manage a tenant may
//! fetch into it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use dedi_api::{List, ModelPull, RefusalCode};
use dedi_domain::fetch::percent;
use dedi_domain::words::count;

use super::auth::Caller;
use super::body::JsonBody;
use super::error::ApiError;
use super::{models, views};
use crate::hub::{Phase, Pull, Source};
use crate::shared::Shared;

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
) -> Result<Json<List<ModelPull>>, ApiError> {
    caller.must_manage_models()?;
    Ok(Json(List::new(shared.pulls.all().iter().map(|it| shown(&shared, it)).collect())))
}

pub(super) async fn start(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    body: JsonBody,
) -> Result<Json<ModelPull>, ApiError> {
    caller.must_manage_models()?;
    let text = body.fields.text("model")?.flatten().unwrap_or_default();
    if text.trim().is_empty() {
        return Err(ApiError::field(
            "model",
            "model is required: ORG/NAME, with @REVISION or :FILE if need be",
        ));
    }
    let source = Source::parse(&text).map_err(|what| ApiError::field("model", what))?;
    tracing::info!(model = %source.model, by = %caller.0.key, "a download of {source} was asked for");
    let pull = shared.pulls.start(source).map_err(|what| ApiError::Invalid {
        message: what,
        param: Some("model".to_owned()),
        code: Some(RefusalCode::PullInProgress),
    })?;
    Ok(Json(shown(&shared, &pull)))
}

pub(super) async fn retrieve(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<ModelPull>, ApiError> {
    caller.must_manage_models()?;
    let model = models::named(path)?;
    let pull = shared.pulls.get(&model);
    pull.map(|it| Json(shown(&shared, &it)))
        .ok_or_else(|| ApiError::NotFound(format!("No download of {model} is known")))
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
        started_at: views::time(pull.started_at),
        ended_at: ended_at.map(views::time),
    }
}

fn failure_is_told(phase: &Phase) -> bool {
    match phase {
        Phase::Failed { .. } => true,
        Phase::Queued | Phase::Running | Phase::Done { .. } => false,
    }
}

//! `/v1/models`: a bare array of what can be deployed and of the caller's running endpoints;
//! one of them by its id; and the end of a model.
//! OpenAI's SDKs, which read the same route, get the list in an object: a bare array breaks them.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use dedi_api::{AutoscaleModel, List, Model, ModelPricing, RefusalCode};
use dedi_domain::fit::ModelFacts;
use dedi_domain::model_rights::{Holding, ModelAct};
use dedi_domain::{EndpointState, ModelName, Role};
use http::header::USER_AGENT;
use http::{HeaderMap, StatusCode};

use super::auth::Caller;
use super::body::Query;
use super::deployable::{no_answer, no_model, not_deployable};
use super::error::ApiError;
use super::{audit, model_rights, ownership};
use crate::hub::Manifest;
use crate::models::{ModelError, READ_MAX, access};
use crate::shared::Shared;
use crate::store::AuditAction;

/// Longest wait for a model's files to be removed; it goes on after that.
const REMOVE_MAX: Duration = Duration::from_secs(30);

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let models = listed(&shared, &caller, query.boolean("dedicated")?).await?;
    Ok(if is_openai(&headers) {
        Json(List::new(models)).into_response()
    } else {
        Json(models).into_response()
    })
}

/// One of the caller's list, by its id; what another tenant runs is as unknown as what nobody has.
pub(super) async fn retrieve(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Model>, ApiError> {
    let Path(id) = path.map_err(|_not_text| ApiError::request("The path could not be read"))?;
    let models = listed(&shared, &caller, false).await?;
    models.into_iter().find(|it| it.id == id).map(Json).ok_or_else(|| no_model(&id))
}

async fn listed(shared: &Shared, caller: &Caller, only_deployable: bool) -> Result<Vec<Model>, ApiError> {
    let found = on_disk(shared).await?;
    let holders = shared.store.holders().await?;
    let mut models: Vec<Model> = found
        .iter()
        .filter(|it| model_rights::shows(&holders, caller, &it.name))
        .map(|it| model(shared, it.name.as_str(), it.name.base(), it))
        .collect();
    if !only_deployable {
        for endpoint in shared.store.endpoints(&caller.0.owner).await? {
            let base = found.iter().find(|it| it.name == endpoint.model);
            if let (EndpointState::Started, Some(base), true) =
                (endpoint.published, base, caller.shows(&endpoint))
            {
                models.push(model(shared, endpoint.name.as_str(), &endpoint.display_name, base));
            }
        }
    }
    Ok(models)
}

fn is_openai(headers: &HeaderMap) -> bool {
    dedi_api::clients::is_openai(headers.get(USER_AGENT).and_then(|it| it.to_str().ok()))
}

pub(super) async fn autoscale(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
) -> Result<Json<Vec<AutoscaleModel>>, ApiError> {
    let found = on_disk(&shared).await?;
    let holders = shared.store.holders().await?;
    let found = found.into_iter().filter(|it| model_rights::shows(&holders, &caller, &it.name));
    Ok(Json(found.map(|it| AutoscaleModel { name: it.name.to_string() }).collect()))
}

/// Removes a model from the store, with whatever is on its way of it; or, of a model that others hold too, the caller's
/// part. With `?force=true` also from stopped endpoints that were created with it.
pub(super) async fn remove(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    query: Query,
) -> Result<StatusCode, ApiError> {
    model_rights::must_by_role(&caller, ModelAct::Remove)?;
    let model = named(path)?;
    let holding = model_rights::must(&shared, &caller, &model, ModelAct::Remove).await?;
    let is_admin = caller.0.role == Role::Admin;
    let is_part = holding == Holding::Joint && !is_admin;
    must_be_unused(&shared, &caller, &model, is_part, query.boolean("force")?).await?;
    let now = shared.clock.now();
    let entry =
        |message: &str| audit::entry(&caller, AuditAction::ModelRemove, model.as_str(), message.to_owned());
    if is_part {
        shared.pulls.leave(&model, &caller.0.owner);
        let entry = entry("gave up its part of a model that others hold too");
        shared.store.unhold_model(&model, Some(&caller.0.owner), Some(&entry), now).await?;
        shared.looks.ask().await;
        return Ok(StatusCode::NO_CONTENT);
    }
    shared.checks.call_off(&model);
    let was_called_off = shared.pulls.call_off(&model).await;
    let name = model.clone();
    let removed = shared.read_models(REMOVE_MAX, move |models| models.remove(&name)).await;
    match removed.map_err(no_answer)? {
        Ok(was_there) => {
            // Also where there was nothing but a claim to what never came.
            let told = (was_there || was_called_off).then(|| entry("removed it"));
            shared.store.unhold_model(&model, None, told.as_ref(), now).await?;
            if told.is_none() {
                return Err(why_not_removed(&shared, &model).await);
            }
            tracing::info!(%model, by = %caller.0.key, "removed a model");
            shared.looks.ask().await;
            Ok(StatusCode::NO_CONTENT)
        }
        Err(err) if access::is_read_only(&err) => Err(ApiError::Invalid {
            message: format!("{model} can't be removed: {}", access::said(&shared.models_folder(), &err)),
            param: Some("model".to_owned()),
            code: Some(RefusalCode::ModelStoreReadOnly),
        }),
        Err(err) => {
            tracing::error!(%model, error = %err, "a model could not be removed");
            Err(ApiError::Internal)
        }
    }
}

/// Refuses while endpoints need the model; of what is held jointly, while the caller's do.
async fn must_be_unused(
    shared: &Shared,
    caller: &Caller,
    model: &ModelName,
    is_part: bool,
    force: bool,
) -> Result<(), ApiError> {
    let users = ownership::users(shared, caller, model).await?;
    let users: Vec<_> = users.iter().filter(|it| it.is_own || !is_part).collect();
    let running: Vec<_> = users.iter().filter(|it| it.runs).copied().collect();
    let in_use = |message: String| ApiError::Invalid {
        message,
        param: Some("model".to_owned()),
        code: Some(RefusalCode::ModelInUse),
    };
    if !running.is_empty() {
        let which = ownership::named(&running);
        return Err(in_use(format!("{model} is in use by {which}: stop or delete them first")));
    }
    let are_foreign = users.iter().any(|it| !it.is_own) && caller.0.role != Role::Admin;
    if !users.is_empty() && (are_foreign || !force) {
        let which = ownership::named(&users);
        let todo = match are_foreign {
            true => "an admin of this server can remove it",
            false => "delete them first, or remove it all the same with --force (?force=true)",
        };
        return Err(in_use(format!("{model} is needed by {which}, which could not start again: {todo}")));
    }
    Ok(())
}

/// Why there was nothing to remove: where the name leads says more than that nothing is there.
async fn why_not_removed(shared: &Shared, model: &ModelName) -> ApiError {
    let name = model.clone();
    match shared.read_models(READ_MAX, move |models| models.files(&name)).await {
        Ok(Err(err @ ModelError::Unusable(_))) => not_deployable(model, err),
        Ok(Ok(_) | Err(ModelError::Absent(_) | ModelError::Unreadable(_))) | Err(_) => {
            no_model(model.as_str())
        }
    }
}

/// The model a path names.
pub(super) fn named(path: Result<Path<String>, PathRejection>) -> Result<ModelName, ApiError> {
    let Path(named) = path.map_err(|_not_text| ApiError::request("The path could not be read"))?;
    ModelName::parse(&named).map_err(|_malformed| no_model(&named))
}

/// A model that can be deployed.
struct Found {
    name: ModelName,
    facts: ModelFacts,
    manifest: Option<Manifest>,
    modified_millis: i64,
}

async fn on_disk(shared: &Shared) -> Result<Vec<Found>, ApiError> {
    let read = shared.read_models(READ_MAX, |models| {
        let found = models.list().into_iter().filter_map(|name| {
            let facts = models.facts(&name).ok()?;
            let files = models.files(&name).ok()?;
            let manifest = Manifest::read(&files.folder);
            Some(Found { name, facts, manifest, modified_millis: files.modified })
        });
        found.collect()
    });
    read.await.map_err(no_answer)
}

fn model(shared: &Shared, id: &str, display_name: &str, of: &Found) -> Model {
    let serving = shared.config.serving(Some(&of.facts));
    Model {
        id: id.to_owned(),
        object: "model".to_owned(),
        created: of.modified_millis / 1_000,
        kind: if of.facts.is_embedding { "embedding" } else { "chat" }.to_owned(),
        display_name: display_name.to_owned(),
        organization: of.name.org().to_owned(),
        owned_by: of.name.org().to_owned(),
        link: of.manifest.as_ref().map(Manifest::link).unwrap_or_default(),
        license: of.manifest.as_ref().map(|it| it.license.clone()).unwrap_or_default(),
        context_length: serving.context_tokens,
        pricing: ModelPricing::default(),
    }
}

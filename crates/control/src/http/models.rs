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
use dedi_domain::words::count;
use dedi_domain::{EndpointState, ModelName};
use http::header::USER_AGENT;
use http::{HeaderMap, StatusCode};

use super::auth::Caller;
use super::body::Query;
use super::deployable::{no_answer, no_model};
use super::error::ApiError;
use crate::hub::Manifest;
use crate::models::READ_MAX;
use crate::shared::Shared;

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
    let mut models: Vec<Model> =
        found.iter().map(|it| model(shared, it.name.as_str(), it.name.base(), it)).collect();
    if !only_deployable {
        for endpoint in shared.store.endpoints(&caller.0.owner).await? {
            let base = found.iter().find(|it| it.name == endpoint.model);
            if let (EndpointState::Started, Some(base)) = (endpoint.published, base) {
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
    _caller: Caller,
) -> Result<Json<Vec<AutoscaleModel>>, ApiError> {
    let found = on_disk(&shared).await?;
    Ok(Json(found.into_iter().map(|it| AutoscaleModel { name: it.name.to_string() }).collect()))
}

/// Removes a model from the store, with whatever is on its way of it.
pub(super) async fn remove(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    caller.must_manage_models()?;
    let model = named(path)?;
    let users: Vec<_> = shared
        .store
        .snapshot()
        .await?
        .into_iter()
        .filter(|it| it.desired.model == model && (it.desired.wants_replicas() || !it.replicas.is_empty()))
        .collect();
    if !users.is_empty() {
        let own = users.iter().filter(|it| it.desired.owner == caller.0.owner);
        let own: Vec<String> = own.map(|it| it.desired.id.to_string()).take(10).collect();
        let which = if own.is_empty() { "of other accounts".to_owned() } else { own.join(", ") };
        return Err(ApiError::Invalid {
            message: format!(
                "{model} is in use by {}, {which}: stop or delete them first",
                count(users.len() as u64, "endpoint")
            ),
            param: Some("model".to_owned()),
            code: Some(RefusalCode::ModelInUse),
        });
    }
    let was_called_off = shared.pulls.call_off(&model).await;
    let name = model.clone();
    let removed = shared.read_models(REMOVE_MAX, move |models| models.remove(&name)).await;
    match removed.map_err(no_answer)? {
        Ok(was_there) if was_there || was_called_off => {
            tracing::info!(%model, by = %caller.0.key, "removed a model");
            shared.looks.ask().await;
            Ok(StatusCode::NO_CONTENT)
        }
        Ok(_) => Err(no_model(model.as_str())),
        Err(err) => {
            tracing::error!(%model, error = %err, "a model could not be removed");
            Err(ApiError::Internal)
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

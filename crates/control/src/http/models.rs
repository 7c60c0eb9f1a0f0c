//! `GET /v1/models`: a bare array of what can be deployed and of the caller's running endpoints. OpenAI's SDKs,
//! which read the same route, get the list in an object: a bare array breaks them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use dedi_api::{AutoscaleModel, List, Model, ModelPricing};
use dedi_domain::fit::ModelFacts;
use dedi_domain::{EndpointState, ModelName};
use http::HeaderMap;
use http::header::USER_AGENT;

use super::auth::Caller;
use super::body::Query;
use super::error::ApiError;
use crate::shared::Shared;

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let only_deployable = query.boolean("dedicated")?;
    let found = on_disk(&shared).await?;
    let mut models: Vec<Model> =
        found.iter().map(|it| model(&shared, it.name.as_str(), it.name.base(), it)).collect();
    if !only_deployable {
        for endpoint in shared.store.endpoints(&caller.0.owner).await? {
            let base = found.iter().find(|it| it.name == endpoint.model);
            if let (EndpointState::Started, Some(base)) = (endpoint.published, base) {
                models.push(model(&shared, endpoint.name.as_str(), &endpoint.display_name, base));
            }
        }
    }
    Ok(if is_openai(&headers) {
        Json(List::new(models)).into_response()
    } else {
        Json(models).into_response()
    })
}

/// Their names in the header are `OpenAI/Python`, `AsyncOpenAI/Python`, `OpenAI/JS` and the like.
fn is_openai(headers: &HeaderMap) -> bool {
    let agent = headers.get(USER_AGENT).and_then(|it| it.to_str().ok());
    agent.is_some_and(|it| it.contains("OpenAI/"))
}

pub(super) async fn autoscale(
    State(shared): State<Arc<Shared>>,
    _caller: Caller,
) -> Result<Json<Vec<AutoscaleModel>>, ApiError> {
    let found = on_disk(&shared).await?;
    Ok(Json(found.into_iter().map(|it| AutoscaleModel { name: it.name.to_string() }).collect()))
}

/// A model that can be deployed.
struct Found {
    name: ModelName,
    facts: ModelFacts,
    modified_millis: i64,
}

async fn on_disk(shared: &Shared) -> Result<Vec<Found>, ApiError> {
    let models = shared.models.clone();
    let read = tokio::task::spawn_blocking(move || {
        let found = models.list().into_iter().filter_map(|name| {
            let facts = models.facts(&name).ok()?;
            let modified_millis = models.files(&name).ok()?.modified;
            Some(Found { name, facts, modified_millis })
        });
        found.collect()
    });
    read.await.map_err(|_panicked| ApiError::Internal)
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
        link: String::new(),
        license: String::new(),
        context_length: serving.context_tokens,
        pricing: ModelPricing::default(),
    }
}

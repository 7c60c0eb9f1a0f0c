//! `POST /v1/pulls`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::{CreatePullRequest, ModelPull};
use dedi_domain::Owner;
use dedi_domain::model_rights::ModelAct;

use super::view::shown;
use crate::clock::Clock;
use crate::http::body::JsonBody;
use crate::http::error::ApiError;
use crate::service::Caller;
use crate::service::models::must_by_role;
use crate::service::pulls::{ModelPulls, PullRequest};

pub(crate) async fn create(
    State(pulls): State<Arc<ModelPulls>>,
    State(clock): State<Clock>,
    caller: Caller,
    body: JsonBody,
) -> Result<Json<ModelPull>, ApiError> {
    must_by_role(&caller, ModelAct::Pull)?;
    let request: CreatePullRequest = body.read()?;
    if request.model.trim().is_empty() {
        let message = "model is required: ORG/NAME, with @REVISION or :FILE if need be";
        return Err(ApiError::field("model", message));
    }
    let owner = request.owner.map(|it| Owner::parse(&it)).transpose();
    let request = PullRequest {
        source: request.model,
        owner: owner.map_err(|err| ApiError::field("owner", err.0))?,
        replaces: request.replace.unwrap_or(false),
    };
    Ok(Json(shown(&pulls.start(&caller, request).await?, &pulls, &clock)))
}

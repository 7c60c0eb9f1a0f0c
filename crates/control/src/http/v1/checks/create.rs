//! `POST /v1/checks`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::{CreateCheckRequest, ModelCheck};
use dedi_domain::ModelName;
use dedi_domain::model_rights::ModelAct;

use super::view::shown;
use crate::clock::Clock;
use crate::http::body::JsonBody;
use crate::http::error::ApiError;
use crate::service::models::must_by_role;
use crate::service::{Caller, ModelChecks, ServiceError};

pub(crate) async fn create(
    State(checks): State<Arc<ModelChecks>>,
    State(clock): State<Clock>,
    caller: Caller,
    body: JsonBody,
) -> Result<Json<ModelCheck>, ApiError> {
    must_by_role(&caller, ModelAct::Verify)?;
    let request: CreateCheckRequest = body.read()?;
    if request.model.trim().is_empty() {
        let message = "model is required: ORG/NAME, as GET /v1/models lists it";
        return Err(ApiError::field("model", message));
    }
    let model =
        ModelName::parse(&request.model).map_err(|_malformed| ServiceError::no_model(&request.model))?;
    let check = checks.start(&caller, &model, request.accept.unwrap_or(false)).await?;
    Ok(Json(shown(&check, &clock)))
}

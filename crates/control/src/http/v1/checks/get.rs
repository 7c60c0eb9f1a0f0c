//! `GET /v1/checks/{model}`: the last one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::ModelCheck;

use super::view::shown;
use crate::clock::Clock;
use crate::http::error::ApiError;
use crate::http::v1::path::NamedModel;
use crate::service::{Caller, ModelChecks};

pub(crate) async fn get(
    State(checks): State<Arc<ModelChecks>>,
    State(clock): State<Clock>,
    caller: Caller,
    NamedModel(model): NamedModel,
) -> Result<Json<ModelCheck>, ApiError> {
    Ok(Json(shown(&checks.get(&caller, &model).await?, &clock)))
}

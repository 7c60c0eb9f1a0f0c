//! `GET /v1/pulls/{model}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::ModelPull;

use super::view::shown;
use crate::clock::Clock;
use crate::http::error::ApiError;
use crate::http::v1::path::NamedModel;
use crate::service::Caller;
use crate::service::pulls::ModelPulls;

pub(crate) async fn get(
    State(pulls): State<Arc<ModelPulls>>,
    State(clock): State<Clock>,
    caller: Caller,
    NamedModel(model): NamedModel,
) -> Result<Json<ModelPull>, ApiError> {
    Ok(Json(shown(&pulls.get(&caller, &model).await?, &pulls, &clock)))
}

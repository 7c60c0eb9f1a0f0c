//! `GET /v1/models/{model}`: one of the caller's list, by its id.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::Model;

use super::view::model;
use crate::http::error::ApiError;
use crate::http::v1::path::PathText;
use crate::service::Caller;
use crate::service::models::Models;

pub(crate) async fn get(
    State(models): State<Arc<Models>>,
    caller: Caller,
    PathText(id): PathText,
) -> Result<Json<Model>, ApiError> {
    Ok(Json(model(models.get(&caller, &id).await?)))
}

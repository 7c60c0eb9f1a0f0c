//! `GET /v1/autoscale/models`: the names of what can be deployed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::AutoscaleModel;

use crate::http::error::ApiError;
use crate::service::Caller;
use crate::service::models::Models;

pub(crate) async fn autoscale(
    State(models): State<Arc<Models>>,
    caller: Caller,
) -> Result<Json<Vec<AutoscaleModel>>, ApiError> {
    let listed = models.list(&caller, true).await?;
    Ok(Json(listed.into_iter().map(|it| AutoscaleModel { name: it.model.to_string() }).collect()))
}

//! `GET /v1/endpoints/{id}`, by id or name.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::DedicatedEndpoint;

use super::view;
use crate::clock::Clock;
use crate::http::error::ApiError;
use crate::http::v1::path::Named;
use crate::service::Caller;
use crate::service::endpoints::Endpoints;

pub(crate) async fn get(
    State(endpoints): State<Arc<Endpoints>>,
    State(clock): State<Clock>,
    caller: Caller,
    Named(id): Named,
) -> Result<Json<DedicatedEndpoint>, ApiError> {
    Ok(Json(view::endpoint(endpoints.get(&caller, &id).await?, &clock)))
}

//! `PATCH /v1/endpoints/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::{DedicatedEndpoint, UpdateEndpointRequest};

use super::{fields, view};
use crate::clock::Clock;
use crate::http::body::JsonBody;
use crate::http::error::ApiError;
use crate::http::v1::path::Named;
use crate::service::Caller;
use crate::service::endpoints::{EndpointUpdate, Endpoints};

pub(crate) async fn update(
    State(endpoints): State<Arc<Endpoints>>,
    State(clock): State<Clock>,
    caller: Caller,
    Named(id): Named,
    body: JsonBody,
) -> Result<Json<DedicatedEndpoint>, ApiError> {
    caller.must_change()?;
    let request: UpdateEndpointRequest = body.read()?;
    let autoscaling = request.autoscaling.unwrap_or_default();
    let update = EndpointUpdate {
        display_name: request.display_name,
        run: request.state.as_deref().map(fields::run).transpose()?,
        min_replicas: autoscaling.min_replicas,
        max_replicas: autoscaling.max_replicas,
        inactive_timeout: request.inactive_timeout,
        model: request.model,
        hardware: request.hardware,
    };
    Ok(Json(view::endpoint(endpoints.update(&caller, &id, update).await?, &clock)))
}

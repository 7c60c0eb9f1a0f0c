//! `GET /v1/endpoints/{id}/replicas`, oldest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::{List, ReplicaInfo};

use super::view;
use crate::clock::Clock;
use crate::http::error::ApiError;
use crate::http::v1::path::Named;
use crate::service::Caller;
use crate::service::endpoints::Endpoints;

pub(crate) async fn replicas(
    State(endpoints): State<Arc<Endpoints>>,
    State(clock): State<Clock>,
    caller: Caller,
    Named(id): Named,
) -> Result<Json<List<ReplicaInfo>>, ApiError> {
    let replicas = endpoints.replicas(&caller, &id).await?;
    Ok(Json(List::new(replicas.into_iter().map(|it| view::replica(it, &clock)).collect())))
}

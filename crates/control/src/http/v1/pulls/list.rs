//! `GET /v1/pulls`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::{List, ModelPull};

use super::view::shown;
use crate::clock::Clock;
use crate::http::error::ApiError;
use crate::service::Caller;
use crate::service::pulls::ModelPulls;

pub(crate) async fn list(
    State(pulls): State<Arc<ModelPulls>>,
    State(clock): State<Clock>,
    caller: Caller,
) -> Result<Json<List<ModelPull>>, ApiError> {
    let seen = pulls.list(&caller).await?;
    Ok(Json(List::new(seen.iter().map(|it| shown(it, &pulls, &clock)).collect())))
}

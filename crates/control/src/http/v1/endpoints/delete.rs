//! `DELETE /v1/endpoints/{id}`.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;

use crate::http::error::ApiError;
use crate::http::v1::path::Named;
use crate::service::Caller;
use crate::service::endpoints::Endpoints;

pub(crate) async fn delete(
    State(endpoints): State<Arc<Endpoints>>,
    caller: Caller,
    Named(id): Named,
) -> Result<StatusCode, ApiError> {
    endpoints.delete(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

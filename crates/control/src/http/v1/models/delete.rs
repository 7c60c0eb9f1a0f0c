//! `DELETE /v1/models/{model}`; with `?force=true` also from stopped endpoints that were created with it.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;

use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::http::v1::path::NamedModel;
use crate::service::Caller;
use crate::service::models::Models;

pub(crate) async fn delete(
    State(models): State<Arc<Models>>,
    caller: Caller,
    NamedModel(model): NamedModel,
    query: Query,
) -> Result<StatusCode, ApiError> {
    models.remove(&caller, &model, query.boolean("force")?).await?;
    Ok(StatusCode::NO_CONTENT)
}

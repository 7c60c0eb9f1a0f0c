//! `DELETE /v1/keys/{id}`.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;

use crate::http::error::ApiError;
use crate::http::v1::path::PathText;
use crate::service::Caller;
use crate::service::keys::Keys;

pub(crate) async fn delete(
    State(keys): State<Arc<Keys>>,
    caller: Caller,
    PathText(id): PathText,
) -> Result<StatusCode, ApiError> {
    keys.revoke(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! `GET /v1/keys`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::{KeyInfo, List};

use super::view::info;
use crate::clock::Clock;
use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::service::Caller;
use crate::service::keys::Keys;

pub(crate) async fn list(
    State(keys): State<Arc<Keys>>,
    State(clock): State<Clock>,
    caller: Caller,
    query: Query,
) -> Result<Json<List<KeyInfo>>, ApiError> {
    let keys = keys.list(&caller, query.get("owner")).await?;
    Ok(Json(List::new(keys.into_iter().map(|it| info(it, None, &clock)).collect())))
}

//! `GET /v1/endpoints`: the caller's endpoints, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::words::{EndpointKind, UsageKind};
use dedi_api::{List, ListEndpoint};

use super::auth::Caller;
use super::body::Query;
use super::error::ApiError;
use super::views;
use crate::shared::Shared;

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    query: Query,
) -> Result<Json<List<ListEndpoint>>, ApiError> {
    caller.must_read()?;
    let of_type = query.word("type", EndpointKind::WORDS)?;
    let of_usage = query.word("usage_type", UsageKind::WORDS)?;
    // A key sees its own tenant's endpoints only, so `mine` changes nothing but must read as a boolean.
    query.boolean("mine")?;
    if of_type == Some("serverless") || of_usage == Some("reserved") {
        return Ok(Json(List::new(Vec::new())));
    }
    let endpoints = shared.store.endpoints(&caller.0.owner).await?;
    let shown = endpoints.iter().filter(|it| caller.shows(it));
    Ok(Json(List::new(shown.map(|it| views::list_item(it, &shared.clock)).collect())))
}

//! `GET /v1/endpoints`: the caller's endpoints, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::enums::{EndpointKind, UsageKind};
use dedi_api::{List, ListEndpoint};

use super::view;
use crate::clock::Clock;
use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::service::Caller;
use crate::service::endpoints::Endpoints;

pub(crate) async fn list(
    State(endpoints): State<Arc<Endpoints>>,
    State(clock): State<Clock>,
    caller: Caller,
    query: Query,
) -> Result<Json<List<ListEndpoint>>, ApiError> {
    let of_type = query.word("type", EndpointKind::VALUES)?;
    let of_usage = query.word("usage_type", UsageKind::VALUES)?;
    // A key sees its own tenant's endpoints only, so `mine` changes nothing but must read as a boolean.
    query.boolean("mine")?;
    let mut all = endpoints.list(&caller).await?;
    if of_type == Some("serverless") || of_usage == Some("reserved") {
        // There are none here.
        all.clear();
    }
    Ok(Json(List::new(all.iter().map(|it| view::list_item(it, &clock)).collect())))
}

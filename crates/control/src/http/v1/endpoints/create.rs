//! `POST /v1/endpoints`; with `?dry_run=true` only what it would do.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use dedi_api::CreateEndpointRequest;
use http::HeaderMap;

use super::{fields, plan, view};
use crate::clock::Clock;
use crate::http::body::JsonBody;
use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::http::reply::{self, LastReply};
use crate::service::Caller;
use crate::service::endpoints::{Created, Endpoints, Repeat};

/// Longest idempotency key, in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

pub(crate) async fn create(
    State(endpoints): State<Arc<Endpoints>>,
    State(clock): State<Clock>,
    caller: Caller,
    query: Query,
    headers: HeaderMap,
    connection: Option<Extension<LastReply>>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    caller.must_change()?;
    let is_plan = query.boolean("dry_run")?;
    let zone = query.get("availability_zone");
    let request: CreateEndpointRequest = body.read()?;
    // The body's goes before the query's, which has to be a zone all the same.
    if request.availability_zone.is_some() {
        endpoints.check_zone(zone)?;
    }
    let request = fields::endpoint(request, zone)?;
    let key = idempotency_key(&headers)?;
    if is_plan {
        let plan = endpoints.plan(&caller, request).await?;
        return Ok(Json(plan::plan(plan)).into_response());
    }
    let repeat = Repeat::new(key, &body.0, zone.unwrap_or_default(), is_retry(&headers));
    let Created { endpoint, reply } = endpoints.create(&caller, request, repeat).await?;
    let response = Json(view::endpoint(endpoint, &clock)).into_response();
    Ok(reply::watch(response, reply, connection.map(|it| it.0)))
}

/// Whether the client says that it has sent this before.
fn is_retry(headers: &HeaderMap) -> bool {
    let count = headers.get("x-stainless-retry-count").and_then(|it| it.to_str().ok());
    count.and_then(|it| it.parse::<u32>().ok()).is_some_and(|it| it > 0)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let fits =
        |it: &&str| (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&it.len()) && !it.chars().any(char::is_control);
    match value.to_str().ok().filter(fits) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(ApiError::field(
            "Idempotency-Key",
            format!("Idempotency-Key must be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters"),
        )),
    }
}

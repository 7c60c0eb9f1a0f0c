//! `GET /v1/endpoints/{id}/events`, oldest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::{EndpointEvent, List};

use crate::clock::Clock;
use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::http::v1::path::Named;
use crate::service::Caller;
use crate::service::endpoints::Endpoints;
use crate::store::EventRecord;

pub(crate) async fn events(
    State(endpoints): State<Arc<Endpoints>>,
    State(clock): State<Clock>,
    caller: Caller,
    Named(id): Named,
    query: Query,
) -> Result<Json<List<EndpointEvent>>, ApiError> {
    let (after, limit) = (query.number("after")?, query.number("limit")?);
    let events = endpoints.events(&caller, &id, after, limit).await?;
    Ok(Json(List::new(events.into_iter().map(|it| event(it, &clock)).collect())))
}

fn event(it: EventRecord, clock: &Clock) -> EndpointEvent {
    EndpointEvent {
        id: it.id,
        at: clock.show(it.at),
        kind: it.kind,
        replica: it.replica,
        message: it.message,
    }
}

//! `GET /v1/audit`: who did what to which object, oldest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::{AuditEvent, List};
use dedi_domain::{Owner, Timestamp};

use crate::clock::Clock;
use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::service::{AuditLog, Caller};
use crate::store::AuditRecord;

pub(super) async fn list(
    State(audit): State<Arc<AuditLog>>,
    State(clock): State<Clock>,
    caller: Caller,
    query: Query,
) -> Result<Json<List<AuditEvent>>, ApiError> {
    let (after, limit) = (query.number("after")?, query.number("limit")?);
    let of = query.given("owner").map(Owner::parse).transpose();
    let of = of.map_err(|err| ApiError::field("owner", err.0))?;
    let records = audit.list(&caller, of, after, limit).await?;
    Ok(Json(List::new(records.into_iter().map(|it| event(it, &clock)).collect())))
}

fn event(it: AuditRecord, clock: &Clock) -> AuditEvent {
    AuditEvent {
        object: "audit.event".to_owned(),
        id: it.id,
        at: clock.show(Timestamp(it.at)),
        owner: it.owner,
        by_owner: it.by_owner,
        by_key: it.key,
        action: it.action,
        target: it.object,
        message: it.message,
    }
}

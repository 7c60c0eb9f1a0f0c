//! `GET /v1/audit`: who did what to which object. A tenant's owners read their own log, an admin the whole one. And what
//! keys are refused, which is written here for all routes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use dedi_api::{AuditEvent, List};
use dedi_domain::{KeyId, Owner, Principal, Role, Timestamp};
use http::StatusCode;
use tokio::time::timeout;

use super::auth::Caller;
use super::body::Query;
use super::error::ApiError;
use super::layer::Sender;
use crate::shared::Shared;
use crate::store::{Actor, AuditAction, AuditEntry, Page};

/// Entries in one answer, at most and by default.
const ENTRIES_MAX: i64 = 1_000;
const ENTRIES_DEFAULT: i64 = 100;
/// Refusals of one key in one minute that are written down: more say nothing new, and a loop must not fill the disk.
pub(crate) const REFUSALS_PER_MINUTE_MAX: u32 = 10;
/// Longest wait for a refusal to be written down.
const WRITE_MAX: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    query: Query,
) -> Result<Json<List<AuditEvent>>, ApiError> {
    caller.must_audit()?;
    let limit = query.number("limit")?.unwrap_or(ENTRIES_DEFAULT).clamp(1, ENTRIES_MAX);
    let page = query.number("after")?.map_or(Page::Newest, Page::After);
    let wanted = match query.given("owner") {
        Some(text) => Some(Owner::parse(text).map_err(|err| ApiError::field("owner", err.0))?),
        None => None,
    };
    let is_admin = caller.0.role == Role::Admin;
    let owner = match wanted {
        None => (!is_admin).then(|| caller.0.owner.clone()),
        Some(wanted) if is_admin || wanted == caller.0.owner => Some(wanted),
        Some(_) => {
            let message = "Only an admin key has permission to read the audit log of another owner";
            return Err(ApiError::Forbidden(message.to_owned()));
        }
    };
    let records = shared.store.audit(owner.as_ref(), page, u32::try_from(limit).unwrap_or(1)).await?;
    let event = |it: crate::store::AuditRecord| AuditEvent {
        object: "audit.event".to_owned(),
        id: it.id,
        at: shared.clock.show(Timestamp(it.at)),
        owner: it.owner,
        by_owner: it.by_owner,
        by_key: it.key,
        action: it.action,
        target: it.object,
        message: it.message,
    };
    Ok(Json(List::new(records.into_iter().map(event).collect())))
}

/// An entry about what the caller does in its own tenant's log.
pub(super) fn entry(caller: &Caller, action: AuditAction, object: &str, message: String) -> AuditEntry {
    AuditEntry {
        owner: Some(caller.0.owner.clone()),
        by: Actor::from(&caller.0),
        action,
        object: object.to_owned(),
        message,
    }
}

/// How many refusals of each key were written in its minute.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<KeyId, (Timestamp, u32)>>);

impl Refusals {
    /// Whether another one is written down.
    fn counts(&self, key: &KeyId, now: Timestamp) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (since, _)| now.since(*since) < MINUTE);
        let (_, n) = all.entry(key.clone()).or_insert((now, 0));
        *n = n.saturating_add(1);
        *n <= REFUSALS_PER_MINUTE_MAX
    }
}

/// Around the handlers: what a valid key has no right to is written into its tenant's log.
pub(super) async fn refused(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let sender = Sender::default();
    request.extensions_mut().insert(sender.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    if let (StatusCode::FORBIDDEN, Some(principal)) = (response.status(), sender.get()) {
        tell(&shared, principal, &format!("{method} {path}")).await;
    }
    response
}

async fn tell(shared: &Shared, principal: &Principal, request: &str) {
    let now = shared.clock.now();
    if !shared.refusals.counts(&principal.key, now) {
        return;
    }
    let entry = AuditEntry {
        owner: Some(principal.owner.clone()),
        by: Actor::from(principal),
        action: AuditAction::Refused,
        object: request.to_owned(),
        message: format!("the role `{}` has no permission for this", principal.role.as_str()),
    };
    // The refusal stands, written down or not, and does not wait for a database that nobody may write to now.
    match timeout(WRITE_MAX, shared.store.add_audit(&entry, now)).await {
        Ok(Ok(())) => {}
        Ok(Err(err)) => tracing::warn!("a refusal could not be written into the audit log: {err}"),
        Err(_elapsed) => tracing::warn!("a refusal was not written into the audit log in time"),
    }
}

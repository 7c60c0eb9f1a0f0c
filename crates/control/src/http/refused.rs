//! Around the handlers: what a valid key has no right to is written into its tenant's audit log.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;

use super::layer::Sender;
use crate::service::AuditLog;

pub(super) async fn record(State(audit): State<Arc<AuditLog>>, mut request: Request, next: Next) -> Response {
    let sender = Sender::default();
    request.extensions_mut().insert(sender.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    if let (StatusCode::FORBIDDEN, Some(principal)) = (response.status(), sender.get()) {
        audit.refused(principal, &format!("{method} {path}")).await;
    }
    response
}

//! Who asks. The key is checked in the handler that was routed to, by an extractor, so no spelling of a path
//! reaches a handler without it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use dedi_domain::{Desired, EndpointName, KeyFailures, ModelName, Principal, Role};
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::error::ApiError;
use super::layer::Sender;
use crate::shared::Shared;

/// The checked sender of a request.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) Principal);

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let mut values = parts.headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(ApiError::Unauthenticated);
        };
        let text = value.to_str().map_err(|_not_text| ApiError::Unauthenticated)?;
        let (scheme, key) = text.split_once(' ').ok_or(ApiError::Unauthenticated)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(ApiError::Unauthenticated);
        }
        let now = shared.clock.now();
        if let Some(principal) = shared.keys().check(key.trim(), shared.clock.judged()) {
            shared.key_uses.note(&principal.key, now);
            if let Some(sender) = parts.extensions.get::<Sender>() {
                sender.set(&principal);
            }
            return Ok(Self(principal));
        }
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|it| it.0.ip());
        let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let counted = parts.extensions.get::<Arc<KeyFailures>>().map(|it| it.count(peer, now));
        Err(match counted {
            Some(Err(retry_after)) => ApiError::TooManyKeys { retry_after },
            Some(Ok(())) | None => ApiError::Unauthenticated,
        })
    }
}

impl Caller {
    /// Refuses a role that may not read.
    pub(crate) fn must_read(&self) -> Result<(), ApiError> {
        self.must(Role::may_read, "read endpoints")
    }

    /// Refuses a role that may not create or change.
    pub(crate) fn must_change(&self) -> Result<(), ApiError> {
        self.must(Role::may_change, "create or change endpoints")
    }

    /// Refuses a role that may not delete.
    pub(crate) fn must_delete(&self) -> Result<(), ApiError> {
        self.must(Role::may_delete, "delete endpoints")
    }

    /// Refuses a role that may not manage keys.
    pub(crate) fn must_manage_keys(&self) -> Result<(), ApiError> {
        self.must(Role::may_delete, "manage keys")?;
        self.must_be_unlimited("manage keys")
    }

    /// Refuses a role that may not read the audit log.
    pub(crate) fn must_audit(&self) -> Result<(), ApiError> {
        self.must(Role::may_delete, "read the audit log")?;
        self.must_be_unlimited("read the audit log")
    }

    /// Refuses a key that is limited to a list, for what goes beyond any list.
    fn must_be_unlimited(&self, what: &str) -> Result<(), ApiError> {
        if self.0.scope.is_everything() {
            return Ok(());
        }
        Err(ApiError::Forbidden(format!(
            "This API key is limited to a list of models, and has no permission to {what}"
        )))
    }

    /// Whether the key's list has the endpoint; what is outside is as absent as another tenant's.
    pub(crate) fn shows(&self, it: &Desired) -> bool {
        self.0.scope.has_endpoint(it.id, &it.name, &it.model)
    }

    /// The same by what is kept of an endpoint that may be gone.
    pub(crate) fn shows_used(&self, id: &str, name: &str, model: &str) -> bool {
        let parsed = (id.parse(), EndpointName::parse(name), ModelName::parse(model));
        match parsed {
            (Ok(id), Ok(name), Ok(model)) => self.0.scope.has_endpoint(id, &name, &model),
            // Nothing that a list could name.
            (_, _, _) => self.0.scope.is_everything(),
        }
    }

    fn must(&self, may: fn(Role) -> bool, what: &str) -> Result<(), ApiError> {
        if may(self.0.role) {
            return Ok(());
        }
        let role = self.0.role.as_str();
        Err(ApiError::Forbidden(format!(
            "This API key has the role `{role}`, which has no permission to {what}"
        )))
    }
}

//! Who asks. The key is checked in the handler that was routed to, by an extractor, so no spelling of a path
//! reaches a handler without it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use dedi_domain::{KeyFailures, Principal, Role};
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::error::ApiError;
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
        if let Some(principal) = shared.keys().check(key.trim(), now) {
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
        self.must(Role::may_delete, "manage keys")
    }

    /// Refuses a role that may not fetch or remove models.
    pub(crate) fn must_manage_models(&self) -> Result<(), ApiError> {
        self.must(Role::may_delete, "manage models")
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

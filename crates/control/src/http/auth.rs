//! Who asks. The key is checked in the handler that was routed to, by an extractor, so no spelling of a path
//! reaches a handler without it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use dedi_domain::KeyFailures;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::api::Api;
use super::error::ApiError;
use super::layer::Sender;
use crate::service::Caller;

impl FromRequestParts<Api> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let mut values = parts.headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(ApiError::Unauthenticated);
        };
        let text = value.to_str().map_err(|_not_text| ApiError::Unauthenticated)?;
        let (scheme, key) = text.split_once(' ').ok_or(ApiError::Unauthenticated)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(ApiError::Unauthenticated);
        }
        if let Some(principal) = api.keys.check(key.trim()) {
            if let Some(sender) = parts.extensions.get::<Sender>() {
                sender.set(&principal);
            }
            return Ok(Self(principal));
        }
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|it| it.0.ip());
        let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let counted = parts.extensions.get::<Arc<KeyFailures>>().map(|it| it.count(peer, api.clock.now()));
        Err(match counted {
            Some(Err(retry_after)) => ApiError::TooManyKeys { retry_after },
            Some(Ok(())) | None => ApiError::Unauthenticated,
        })
    }
}

//! Who asks. The key is checked in the handler that was routed to, by an extractor, so no spelling of a path
//! reaches a handler without it.

use axum::extract::FromRequestParts;
use dedi_http::{bearer, peer};
use http::request::Parts;

use super::api::Api;
use super::error::ApiError;
use super::layer::Sender;
use crate::service::Caller;

impl FromRequestParts<Api> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let (key, peer) = (bearer(&parts.headers), peer(&parts.extensions));
        let principal = api.keys.check(key, peer, &api.failures)?;
        if let Some(sender) = parts.extensions.get::<Sender>() {
            sender.set(&principal);
        }
        Ok(Self(principal))
    }
}

//! The management API over HTTP. What surrounds every generation of it is here; [`v1`] has the routes.

mod api;
mod auth;
mod body;
mod error;
mod json;
mod layer;
mod no_route;

mod query;
mod refused;
mod reply;
pub(crate) mod v1;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use http::{Method, Uri};
use tower::Layer;
use tower::util::MapRequestLayer;

pub(crate) use api::Api;
use error::ApiError;
pub use reply::LastReply;

pub(crate) fn router(api: Api) -> Router {
    let audit = api.services.audit.clone();
    let routes: Router = v1::router()
        .method_not_allowed_fallback(|| async { ApiError::Method })
        .fallback(|method: Method, uri: Uri| async move {
            ApiError::NotFound(no_route::no_route(&method, uri.path()))
        })
        .with_state(api);
    // Around the routes, because it changes by what a request is routed.
    Router::new()
        .fallback_service(MapRequestLayer::new(v1::encode_slashes).layer(routes))
        .layer(from_fn_with_state(audit, refused::record))
        .layer(from_fn(layer::around))
}

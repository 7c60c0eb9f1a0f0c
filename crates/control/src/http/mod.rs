//! The management API: wire types in, desired state out. One file a resource. Nothing here waits for a process:
//! a change is recorded, the reconciler is nudged, and the answer shows the state from then on.

mod audit;
mod auth;
mod body;
mod checks;
mod create;
mod deployable;
mod display_name;
mod endpoints;
mod error;
mod fields;
mod hardware;
pub(crate) mod item;
mod keys;
mod layer;
mod logs;
mod model_rights;
mod models;
mod no_route;
mod ownership;
mod plan;
mod pulls;
mod repeat;
pub(crate) mod reply;
mod share;
mod update;
mod usage;
pub(crate) mod views;
mod whoami;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, delete, get, post};

use http::{Method, Uri};

use crate::shared::Shared;
#[cfg(test)]
pub(crate) use audit::REFUSALS_PER_MINUTE_MAX;
pub(crate) use audit::Refusals;
use error::ApiError;
pub use reply::LastReply;

pub(crate) use plan::gib;
pub(crate) use views::time;

/// Every route with its methods. A test walks this list with every kind of sender.
pub const ROUTES: &[(&str, &[&str])] = &[
    ("/v1/endpoints", &["GET", "POST"]),
    ("/v1/endpoints/{*rest}", &["DELETE", "GET", "PATCH", "POST"]),
    ("/v1/hardware", &["GET"]),
    ("/v1/clusters/availability-zones", &["GET"]),
    ("/v1/models", &["GET"]),
    ("/v1/models/{*model}", &["DELETE", "GET", "PATCH"]),
    ("/v1/autoscale/models", &["GET"]),
    ("/v1/pulls", &["GET", "POST"]),
    ("/v1/pulls/{*model}", &["GET"]),
    ("/v1/checks", &["POST"]),
    ("/v1/checks/{*model}", &["GET"]),
    ("/v1/whoami", &["GET"]),
    ("/v3/whoami", &["GET"]),
    ("/v1/keys", &["GET", "POST"]),
    ("/v1/keys/{id}", &["DELETE"]),
    ("/v1/usage", &["GET"]),
    ("/v1/audit", &["GET"]),
];

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/endpoints", get(endpoints::list).post(create::create))
        // Names have slashes, raw or encoded, and so has what follows them: one route takes it all.
        .route("/v1/endpoints/{*rest}", any(item::dispatch))
        .route("/v1/hardware", get(hardware::list))
        .route("/v1/clusters/availability-zones", get(hardware::zones))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*model}", get(models::retrieve).delete(models::remove).patch(share::share))
        .route("/v1/autoscale/models", get(models::autoscale))
        .route("/v1/pulls", get(pulls::list).post(pulls::start))
        .route("/v1/pulls/{*model}", get(pulls::retrieve))
        .route("/v1/checks", post(checks::start))
        .route("/v1/checks/{*model}", get(checks::retrieve))
        .route("/v1/whoami", get(whoami::v1))
        .route("/v3/whoami", get(whoami::v3))
        .route("/v1/keys", get(keys::list).post(keys::create))
        .route("/v1/keys/{id}", delete(keys::revoke))
        .route("/v1/usage", get(usage::report))
        .route("/v1/audit", get(audit::list))
        .method_not_allowed_fallback(|| async { ApiError::Method })
        .fallback(|method: Method, uri: Uri| async move {
            ApiError::NotFound(no_route::no_route(&method, uri.path()))
        })
        .layer(from_fn_with_state(shared.clone(), audit::refused))
        .layer(from_fn(layer::around))
        .with_state(shared)
}

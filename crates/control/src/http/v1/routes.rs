//! Every route of this generation.

use axum::Router;
use axum::routing::{MethodFilter, on};

use super::{audit, checks, endpoints, hardware, keys, models, pulls, usage, whoami};
use crate::http::Api;

macro_rules! index {
    ($($method:ident $path:literal $handler:path;)*) => {
        /// Every method and route.
        pub(crate) const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path)),*];

        pub(crate) fn router() -> Router<Api> {
            Router::new()$(.route($path, on(MethodFilter::$method, $handler)))*
        }
    };
}

index! {
    POST   "/v1/endpoints"                    endpoints::create;
    GET    "/v1/endpoints"                    endpoints::list;
    // Slashes in ids and names come encoded: see `slashes.rs`.
    GET    "/v1/endpoints/{id}"               endpoints::get;
    PATCH  "/v1/endpoints/{id}"               endpoints::update;
    DELETE "/v1/endpoints/{id}"               endpoints::delete;
    GET    "/v1/endpoints/{id}/events"        endpoints::events;
    GET    "/v1/endpoints/{id}/logs"          endpoints::logs;
    GET    "/v1/endpoints/{id}/replicas"      endpoints::replicas;
    GET    "/v1/endpoints/{id}/adapters"      endpoints::adapters;
    POST   "/v1/endpoints/{id}/adapters"      endpoints::adapters;
    DELETE "/v1/endpoints/{id}/adapters"      endpoints::adapters;
    GET    "/v1/hardware"                     hardware::list;
    GET    "/v1/clusters/availability-zones"  hardware::zones;
    GET    "/v1/models"                       models::list;
    GET    "/v1/models/{*model}"              models::get;
    PATCH  "/v1/models/{*model}"              models::share;
    DELETE "/v1/models/{*model}"              models::delete;
    GET    "/v1/autoscale/models"             models::autoscale;
    POST   "/v1/pulls"                        pulls::create;
    GET    "/v1/pulls"                        pulls::list;
    GET    "/v1/pulls/{*model}"               pulls::get;
    POST   "/v1/checks"                       checks::create;
    GET    "/v1/checks/{*model}"              checks::get;
    POST   "/v1/keys"                         keys::create;
    GET    "/v1/keys"                         keys::list;
    DELETE "/v1/keys/{id}"                    keys::delete;
    GET    "/v1/usage"                        usage::get;
    GET    "/v1/audit"                        audit::list;
    GET    "/v1/whoami"                       whoami::v1;
    GET    "/v3/whoami"                       whoami::v3;
}

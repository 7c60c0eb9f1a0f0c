//! `GET /openapi.json`: what this server can be asked, for programs. Open to everybody, since it says nothing of
//! what runs here.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::only_get::only_get;

/// The one route.
pub(crate) fn router() -> Router {
    let document = dedi_api::openapi::document(env!("CARGO_PKG_VERSION"));
    let bytes = Bytes::from(document.to_string());
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")];
    let answer = move || async move { (headers, bytes).into_response() };
    Router::new().route(dedi_api::openapi::PATH, get(answer).fallback(only_get))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn the_servers_own_routes_are_described() {
        let document = dedi_api::openapi::document("0");
        let tag = |method: &str, path: &str| {
            document["paths"][path][method.to_ascii_lowercase()]["tags"][0]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let described: BTreeSet<String> = dedi_api::openapi::operations(&document)
            .into_iter()
            .filter(|(method, path)| tag(method, path) == "Server")
            .map(|(_, path)| path)
            .collect();
        let health =
            include_str!("health.rs").split('"').filter(|it| it.starts_with('/') && !it.contains(' '));
        let mut routes: BTreeSet<String> = health.map(str::to_owned).collect();
        routes.insert(dedi_api::openapi::PATH.to_owned());
        assert_eq!(described, routes);
        // What else is served is described where it is routed.
        let code = include_str!("running.rs");
        let merged = code.matches(".merge(").count();
        let known = ["health::router(", "openapi::router()", "gateway.router()", "control.router("];
        assert_eq!(known.iter().filter(|it| code.contains(&format!(".merge({it}"))).count(), merged);
    }
}

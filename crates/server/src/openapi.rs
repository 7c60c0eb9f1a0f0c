//! `GET /openapi.json`: what this server can be asked, for programs. Open to everybody, since it says nothing of
//! what runs here.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};

/// The one route.
pub(crate) fn router() -> Router {
    let document = dedi_api::openapi::document(env!("CARGO_PKG_VERSION"));
    let bytes = Bytes::from(document.to_string());
    let headers =
        [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    let answer = move || async move { (headers, bytes).into_response() };
    Router::new().route(dedi_api::openapi::PATH, get(answer))
}

//! The response to a metrics scrape.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;

use crate::error::ErrorResponse;

/// All registered metrics, in Prometheus' text format.
pub fn metrics(registry: &Registry) -> Response {
    let mut text = String::new();
    match prometheus_text::encode(&mut text, registry) {
        Ok(()) => ([(CONTENT_TYPE, prometheus_text::CONTENT_TYPE)], text).into_response(),
        Err(_a_label_failed) => ErrorResponse::internal().into_response(),
    }
}

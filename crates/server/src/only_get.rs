//! The answer to other methods on routes that can only be read.

use axum::extract::Request;
use dedi_http::ErrorResponse;

pub(crate) async fn only_get(request: Request) -> ErrorResponse {
    let message = format!("{} is not a method of {}; use GET", request.method(), request.uri().path());
    ErrorResponse::wrong_method("GET, HEAD", message)
}

//! How long the head of a request may be. The listener reads somewhat more than that, so that the refusal is ours
//! and says which limit was met; what goes beyond even that is refused by the HTTP library (see `unreadable`).

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dedi_api::RefusalCode;
use dedi_http::ErrorResponse;
use http::{HeaderMap, StatusCode};

/// Header fields in a request, at most.
const HEADERS_MAX: usize = 64;
/// Bytes of their names and values, at most.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a request's path and query, at most.
const URI_BYTES_MAX: usize = 8 * 1024;

/// Header fields that the listener reads.
pub(crate) const HEADERS_READ_MAX: usize = 2 * HEADERS_MAX;
/// Bytes of a request's line and headers that the listener reads.
pub(crate) const HEAD_BYTES_READ_MAX: usize = 2 * (HEADER_BYTES_MAX + URI_BYTES_MAX);

/// Refuses requests with too long a head.
pub(crate) async fn check(request: Request, next: Next) -> Response {
    let uri = request.uri();
    let uri_bytes = uri.path().len() + uri.query().map_or(0, |it| it.len() + 1);
    if uri_bytes > URI_BYTES_MAX {
        let message =
            format!("The path and query of a request may have {URI_BYTES_MAX} bytes, these have {uri_bytes}");
        return refused(StatusCode::URI_TOO_LONG, RefusalCode::UriTooLong, message);
    }
    match excess(request.headers()) {
        None => next.run(request).await,
        Some(message) => {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            refused(status, RefusalCode::HeadersTooLarge, message)
        }
    }
}

fn refused(status: StatusCode, code: RefusalCode, message: String) -> Response {
    ErrorResponse::refused(status, code, message).into_response()
}

/// What of the headers is too much.
fn excess(headers: &HeaderMap) -> Option<String> {
    if headers.len() > HEADERS_MAX {
        let message =
            format!("A request may have {HEADERS_MAX} header fields, this one has {}", headers.len());
        return Some(message);
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    (bytes > HEADER_BYTES_MAX).then(|| {
        format!("The header fields of a request may have {HEADER_BYTES_MAX} bytes in all, these have {bytes}")
    })
}

//! Requests that the HTTP library refuses before any of our code sees them: it writes a bare status, and the client gets
//! the contract's JSON instead.

use axum::response::IntoResponse;
use dedi_api::RefusalCode;
use dedi_http::{ErrorResponse, REQUEST_ID, RequestId};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, HeaderValue, X_CONTENT_TYPE_OPTIONS};

use crate::limits::{HEAD_BYTES_READ_MAX, HEADERS_READ_MAX};

/// Longest bare refusal: a status line, a length and a date.
const BYTES_MAX: usize = 256;

/// The answer to be written instead of `bytes`, if those are a refusal that the library made by itself: an error without
/// a body and without the id that each answer of ours has.
pub(crate) fn in_json(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() > BYTES_MAX || !bytes.starts_with(b"HTTP/1.") {
        return None;
    }
    let head = std::str::from_utf8(bytes).ok()?.strip_suffix("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let line = lines.next()?;
    let status = line.split(' ').nth(1)?.parse::<StatusCode>().ok().filter(StatusCode::is_client_error)?;
    let fields: Vec<(&str, &str)> = lines.map(|it| it.split_once(": ")).collect::<Option<_>>()?;
    let field = |name: &str| fields.iter().find(|it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1);
    if field(CONTENT_LENGTH.as_str()) != Some("0") || field(REQUEST_ID.as_str()).is_some() {
        return None;
    }
    let (error, id) = (refused(status), RequestId::random());
    let body = error.body(Some(&id));
    let mut headers = error.closing().into_response().into_parts().0.headers;
    headers.insert(REQUEST_ID, id.header());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let mut answer = format!("{line}\r\n").into_bytes();
    let date = field("date").map(|it| ("date", it.as_bytes()));
    for (name, value) in headers.iter().map(|it| (it.0.as_str(), it.1.as_bytes())).chain(date) {
        answer.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    answer.extend(b"\r\n");
    answer.extend(body);
    Some(answer)
}

fn refused(status: StatusCode) -> ErrorResponse {
    let (code, message) = match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            let message = format!(
                "The request's head has more than {HEADERS_READ_MAX} header fields or {HEAD_BYTES_READ_MAX} bytes"
            );
            (RefusalCode::HeadersTooLarge, message)
        }
        StatusCode::URI_TOO_LONG => (RefusalCode::UriTooLong, "The request's path is too long".to_owned()),
        _ => {
            let message =
                "The request can't be read as HTTP: check its first line, its header fields and its length";
            (RefusalCode::InvalidRequest, message.to_owned())
        }
    };
    ErrorResponse::refused(status, code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_refusals_of_the_library_get_a_body_and_nothing_else_does() {
        let bare = "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\ndate: Mon\r\n\r\n";
        let answer = String::from_utf8(in_json(bare.as_bytes()).unwrap()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{head}");
        for field in
            ["connection: close", "content-type: application/json", "x-should-retry: false", "date: Mon"]
        {
            assert!(head.contains(field), "{field} in {head}");
        }
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        let error: dedi_api::ErrorBody = serde_json::from_str(body).unwrap();
        assert!(head.contains(&error.id.unwrap()));
        assert_eq!(error.error.code.as_deref(), Some("headers_too_large"));
        for other in [
            "",
            "{}",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n{}",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-request-id: req_1\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n",
        ] {
            assert_eq!(in_json(other.as_bytes()), None, "{other}");
        }
    }
}

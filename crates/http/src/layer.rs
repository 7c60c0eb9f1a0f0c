//! Around everything that a server answers: a request id, an end for panics, the id in every error, and the headers that
//! all answers have.
//!
//! tower-http's layers for ids and panics do not fit: the first believes any id that a client sends, and neither can
//! write it into a body; the second boxes each body once more, which every event of a stream would pay for.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, X_CONTENT_TYPE_OPTIONS};

use crate::error::ErrorResponse;
use crate::request_id::{REQUEST_ID, RequestId};

/// The outermost layer of a server that strangers reach: each request gets an id of its own.
pub async fn assign_request_id(request: Request, next: Next) -> Response {
    answer(RequestId::random(), request, next).await
}

/// The outermost layer of a server behind another one: a request keeps the id that the other one gave it.
pub async fn adopt_request_id(request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID).and_then(RequestId::given);
    answer(given.unwrap_or_else(RequestId::random), request, next).await
}

async fn answer(id: RequestId, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(id.clone());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_panic| {
        let path = uri.path();
        tracing::error!(request.id = %id, %method, path, "a handler panicked; see the message before this one");
        ErrorResponse::internal().into_response()
    });
    if let Some(error) = response.extensions_mut().remove::<Arc<ErrorResponse>>() {
        let body = error.body(Some(&id));
        // An inner router has measured the body without the id.
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        *response.body_mut() = Body::from(body);
    }
    let headers = response.headers_mut();
    // An answer that was passed on from another server has the id by which that one knows it.
    headers.entry(REQUEST_ID).or_insert_with(|| id.header());
    headers.entry(X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use dedi_api::{ErrorBody, RefusalCode};
    use http::{HeaderMap, StatusCode};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::error::Retry;

    async fn ask(app: Router, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
        let request = headers.iter().fold(Request::builder(), |it, (name, value)| it.header(*name, *value));
        let (head, body) = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    fn assigned(app: Router) -> Router {
        app.layer(from_fn(assign_request_id))
    }

    #[tokio::test]
    async fn panic_in_a_handler_is_a_500_in_json_without_its_message() {
        async fn breaks() -> StatusCode {
            panic!("a secret detail")
        }
        let (status, headers, body) = ask(assigned(Router::new().route("/", get(breaks))), &[]).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(headers.get("x-should-retry").is_none(), "reads may be tried again");
        let error: ErrorBody = serde_json::from_str(&body).unwrap();
        assert_eq!(error.error.kind, "server_error");
        assert!(!body.contains("secret"), "{body}");
    }

    #[tokio::test]
    async fn error_carries_the_id_of_its_request_and_keeps_the_headers_of_inner_layers() {
        let refuse = || async {
            let error = ErrorResponse::refused(StatusCode::BAD_REQUEST, RefusalCode::InvalidValue, "No.");
            ([("x-other", "1")], error.param("a.b".to_owned()).closing())
        };
        let inner = Router::new().route("/", get(refuse));
        let (status, headers, body) = ask(assigned(Router::new().fallback_service(inner)), &[]).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let id = headers["x-request-id"].to_str().unwrap();
        assert!(id.starts_with("req_"), "{id}");
        assert_eq!(
            headers["content-length"],
            body.len().to_string(),
            "also where an inner router has measured it"
        );
        let error = r#""error":{"message":"No.","type":"invalid_request_error","param":"a.b","code":"invalid_value"}"#;
        assert_eq!(body, format!(r#"{{"id":"{id}",{error}}}"#));
        for (name, value) in [
            ("x-should-retry", "false"),
            ("connection", "close"),
            ("content-type", "application/json"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("x-other", "1"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
    }

    #[tokio::test]
    async fn error_has_the_delay_in_both_units() {
        let busy = || async { ErrorResponse::unavailable("Later.") };
        let (_, headers, _) = ask(assigned(Router::new().route("/", get(busy))), &[]).await;
        assert_eq!(["retry-after-ms", "retry-after"].map(|it| &headers[it]), ["2000", "2"]);
        let soon = std::time::Duration::from_millis(1_001);
        let error = ErrorResponse::internal().retry(Retry::After(soon)).into_response();
        assert_eq!(error.headers()["retry-after"], "2");
    }

    #[tokio::test]
    async fn request_id_of_a_client_is_adopted_only_behind_another_server() {
        let show_id = |id: RequestId| async move { id.to_string() };
        let app = || Router::new().route("/", get(show_id));
        let given = [("x-request-id", "req_given")];
        let (_, headers, body) = ask(assigned(app()), &given).await;
        assert!(body != "req_given" && headers["x-request-id"] == body, "{body}");
        let behind = || app().layer(from_fn(adopt_request_id));
        assert_eq!(ask(behind(), &given).await.2, "req_given");
        for value in ["", "a b", &"x".repeat(200)] {
            let (_, _, body) = ask(behind(), &[("x-request-id", value)]).await;
            assert!(body.starts_with("req_"), "{value:?}: {body}");
        }
    }
}

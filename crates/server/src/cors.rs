//! Which web pages may read answers in a browser: those of the origins that the operator names, by default
//! none. Keys travel in a header that a page has to be given, never in cookies, so no answer allows credentials.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode, Uri};
use tower::{Layer, ServiceExt};
use tower_http::cors::{AllowHeaders, AllowOrigin, AllowPrivateNetwork, Any, CorsLayer};

/// How long a browser may remember what it was allowed.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// Every origin.
const ALL: &str = "*";

/// The named origins; `None` where there is none.
#[derive(Clone, Debug)]
pub(crate) struct Cors(Option<Allowed>);

#[derive(Clone, Debug)]
struct Allowed {
    origins: Option<Vec<HeaderValue>>,
    layer: CorsLayer,
}

impl Cors {
    /// Of what [`check`] has found to be in order.
    pub(crate) fn new(origins: &[String]) -> Self {
        if origins.is_empty() {
            return Self(None);
        }
        let named: Vec<_> = origins.iter().filter_map(|it| HeaderValue::from_str(it).ok()).collect();
        let named = (!origins.iter().any(|it| it == ALL)).then_some(named);
        let exposed = ["x-request-id", "retry-after-ms", "x-should-retry"].map(HeaderName::from_static);
        let layer = CorsLayer::new()
            .allow_origin(named.clone().map_or_else(|| AllowOrigin::from(Any), AllowOrigin::list))
            .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::DELETE])
            // SDKs send a dozen of their own, `x-stainless-…`, and nothing here acts on a header but by its name.
            .allow_headers(AllowHeaders::mirror_request())
            // A page on the internet may reach a server on this machine or in its network only if that is said.
            .allow_private_network(AllowPrivateNetwork::yes())
            .expose_headers(exposed.into_iter().chain([RETRY_AFTER]).collect::<Vec<_>>())
            .max_age(REMEMBERED);
        Self(Some(Allowed { origins: named, layer }))
    }

    fn of(&self, request: &Request) -> Option<&CorsLayer> {
        let allowed = self.0.as_ref()?;
        let origin = request.headers().get(ORIGIN)?;
        let is_allowed = allowed.origins.as_ref().is_none_or(|all| all.contains(origin));
        // An OPTIONS of somebody else's making is a method like any other.
        let is_asked = *request.method() != Method::OPTIONS || is_preflight(request);
        (is_allowed && is_asked).then_some(&allowed.layer)
    }
}

fn is_preflight(request: &Request) -> bool {
    *request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers what browsers ask beforehand, and tells them with every answer who may read it.
pub(crate) async fn answer(State(cors): State<Cors>, request: Request, next: Next) -> Response {
    let Some(layer) = cors.of(&request) else { return next.run(request).await };
    let is_preflight = is_preflight(&request);
    let answered: Result<Response, Infallible> = layer.layer(next).oneshot(request).await;
    let Ok(mut response) = answered;
    if is_preflight {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}

/// What is wrong with the origins, as a sentence.
///
/// # Errors
///
/// The first problem found, as a sentence.
pub(crate) fn check(origins: &[String]) -> Result<(), String> {
    match origins.iter().find(|it| *it != ALL && !is_origin(it)) {
        Some(wrong) => Err(format!(
            "cors_origins: {wrong:?} is no origin: give scheme, host and port as a browser sends them, in lower case and without a path, such as \"https://app.example.com\", or \"*\" for all"
        )),
        None if origins.len() > 1 && origins.iter().any(|it| it == ALL) => {
            Err("cors_origins: \"*\" allows all origins; leave out the others".to_owned())
        }
        None => Ok(()),
    }
}

/// `null` is none: every sandboxed page has it.
fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let has_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let Some(authority) = uri.authority().map(http::uri::Authority::as_str) else { return false };
    let default_port = if uri.scheme_str() == Some("https") { ":443" } else { ":80" };
    has_scheme
        && !authority.contains('@')
        && !authority.ends_with(default_port)
        && text.to_ascii_lowercase() == text
        && text.ends_with(authority)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::post;
    use http::HeaderMap;

    use super::*;

    const APP: &str = "https://app.example";

    async fn ask(origins: &[&str], method: Method, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap) {
        let origins: Vec<String> = origins.iter().map(|it| (*it).to_owned()).collect();
        check(&origins).unwrap();
        let refused = || async { (StatusCode::UNAUTHORIZED, [("x-request-id", "req_1")]) };
        let app = Router::new()
            .route("/v1/chat/completions", post(refused))
            .layer(axum::middleware::from_fn_with_state(Cors::new(&origins), answer));
        let mut request = Request::builder().method(method).uri("/v1/chat/completions");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        (response.status(), response.headers().clone())
    }

    fn text(headers: &HeaderMap, name: &str) -> String {
        headers.get_all(name).iter().map(|it| it.to_str().unwrap()).collect::<Vec<_>>().join(", ")
    }

    #[tokio::test]
    async fn cors_a_named_origin_may_ask_and_read() {
        let asked = "authorization,content-type,x-stainless-lang,x-stainless-retry-count,idempotency-key";
        let preflight = [
            ("origin", APP),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", asked),
            ("access-control-request-private-network", "true"),
        ];
        let (status, headers) = ask(&[APP, "http://localhost:5173"], Method::OPTIONS, &preflight).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
        assert_eq!(text(&headers, "access-control-allow-origin"), APP);
        assert_eq!(text(&headers, "access-control-allow-headers"), asked);
        assert_eq!(text(&headers, "access-control-allow-methods"), "GET,HEAD,POST,PATCH,DELETE");
        assert_eq!(text(&headers, "access-control-max-age"), "3600");
        assert_eq!(text(&headers, "access-control-allow-private-network"), "true");
        assert!(text(&headers, "vary").contains("origin"));
        assert!(!headers.contains_key("access-control-allow-credentials"));
        // A refusal is an answer that its page may read.
        let (status, headers) = ask(&[APP], Method::POST, &[("origin", APP)]).await;
        assert_eq!(
            (status, &*text(&headers, "access-control-allow-origin")),
            (StatusCode::UNAUTHORIZED, APP)
        );
        let exposed = text(&headers, "access-control-expose-headers");
        assert!(exposed.contains("x-request-id") && exposed.contains("retry-after"), "{exposed}");
        assert!(text(&headers, "vary").contains("origin"));
    }

    #[tokio::test]
    async fn cors_others_are_told_nothing() {
        let preflight = |origin| [("origin", origin), ("access-control-request-method", "POST")];
        for (origins, origin) in [
            (&[][..], APP),
            (&[APP][..], "https://evil.example"),
            (&[APP][..], "null"),
            (&[APP][..], "https://app.example.evil"),
        ] {
            let (status, headers) = ask(origins, Method::OPTIONS, &preflight(origin)).await;
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{origins:?} {origin}");
            assert!(!headers.keys().any(|it| it.as_str().starts_with("access-control")), "{headers:?}");
            let (_, headers) = ask(origins, Method::POST, &[("origin", origin)]).await;
            assert!(!headers.contains_key("access-control-allow-origin"), "{headers:?}");
        }
        // Not a browser's question.
        assert_eq!(ask(&[APP], Method::OPTIONS, &[("origin", APP)]).await.0, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn cors_all_origins_may_be_named_by_one_word() {
        let (_, headers) = ask(&["*"], Method::POST, &[("origin", "https://any.example")]).await;
        assert_eq!(text(&headers, "access-control-allow-origin"), "*");
        assert!(!headers.contains_key("access-control-allow-credentials"));
    }

    #[test]
    fn cors_what_no_browser_sends_is_refused() {
        let said = |origins: &[&str]| check(&origins.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        for wrong in [
            "",
            "null",
            "app.example",
            "https://",
            "https://App.example",
            "https://app.example/",
            "https://app.example/x",
            "https://app.example:443",
            "http://app.example:80",
            "ftp://app.example",
            "https://u@app.example",
            "https://*.example ",
        ] {
            assert!(said(&[wrong]).unwrap_err().contains("is no origin"), "{wrong}");
        }
        assert!(said(&["*", APP]).unwrap_err().contains("leave out the others"));
        assert!(said(&[APP, "http://localhost:5173", "http://[::1]:80:80"]).is_err());
        assert!(said(&[APP, "http://localhost:5173", "https://127.0.0.1:8443", "http://[::1]:3000"]).is_ok());
    }
}

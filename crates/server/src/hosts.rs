//! Which `Host` a request may name. A page in somebody's browser must not reach a loopback server through a
//! name of its own that resolves here.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dedi_api::RefusalCode;
use dedi_http::ErrorResponse;
use http::StatusCode;

/// The accepted names, besides `localhost` and IP addresses.
#[derive(Clone, Debug)]
pub(crate) struct Hosts(Arc<[String]>);

impl Hosts {
    pub(crate) fn new(names: &[String]) -> Self {
        Self(names.iter().map(|it| it.to_ascii_lowercase()).collect())
    }

    fn accepts(&self, authority: &str) -> bool {
        let name = match authority.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) && !name.ends_with(':') => name,
            Some(_) | None => authority,
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        // A browser can't be given an address as a foreign site's name, so addresses are safe.
        bare.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.0.iter().any(|it| it.eq_ignore_ascii_case(name))
    }
}

/// Refuses requests for another host.
pub(crate) async fn check(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let mut hosts_named = request.headers().get_all(http::header::HOST).iter();
    let named = hosts_named.next().and_then(|it| it.to_str().ok());
    if hosts_named.next().is_some() {
        // Whatever stands in front of this server may have looked at the other one.
        let message = "the request has more than one Host header".to_owned();
        return refused(RefusalCode::InvalidRequest, message);
    }
    let authority = request.uri().authority().map(http::uri::Authority::as_str).or(named).unwrap_or_default();
    if hosts.accepts(authority) {
        return next.run(request).await;
    }
    let message = format!(
        "the Host header names `{authority}`, which this server is not known by; add it to `hostnames` in the config"
    );
    refused(RefusalCode::HostUnknown, message)
}

fn refused(code: RefusalCode, message: String) -> Response {
    ErrorResponse::refused(StatusCode::BAD_REQUEST, code, message).param("Host".to_owned()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_configured_names_pass_and_others_do_not() {
        let hosts = Hosts::new(&["Models.Example".into()]);
        for good in [
            "localhost",
            "localhost:80",
            "127.0.0.1:7437",
            "[::1]:7437",
            "models.example",
            "MODELS.example:1",
        ] {
            assert!(hosts.accepts(good), "{good}");
        }
        for bad in ["", "evil.example", "localhost.evil.example:7437", "127.0.0.1.evil.example"] {
            assert!(!hosts.accepts(bad), "{bad}");
        }
    }
}

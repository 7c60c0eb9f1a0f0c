//! HTTP to the hub: one GET with its redirects. The token goes to the hub's own origin and to nobody else; other
//! hosts must be public and, if the hub speaks TLS, speak it too. Every wait has an end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, IF_RANGE, LOCATION, RANGE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;
use url::Url;

use super::config::{HubConfig, Token};
use super::error::HubError;
use super::reach::{Resolver, may_go};
use super::wait;

/// Redirects followed for one file; the hub itself makes one or two.
const REDIRECTS_MAX: usize = 5;
/// The largest list of files that is read.
const LIST_BYTES_MAX: usize = 32 << 20;
/// Longest time for the whole list; a byte now and then does not keep it alive.
const LIST_TIMEOUT: Duration = Duration::from_secs(120);

/// HTTP client of one hub.
#[derive(Debug)]
pub(super) struct HubClient {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Empty<Bytes>>,
    base: Url,
    token: Option<Token>,
    private_addresses: bool,
    /// Longest wait for the head of an answer, connection included.
    answer_timeout: Duration,
    idle_timeout: Duration,
}

/// The part of a file that is asked for again.
#[derive(Clone, Debug)]
pub(super) struct Rest {
    /// Bytes that are here.
    pub(super) from: u64,
    /// What the file was known by when they came, if that was told: the rest is of that version, or all of it comes. Where
    /// it was not, the hash of the whole decides, since the commit is pinned.
    pub(super) etag: Option<HeaderValue>,
}

/// An answer, and what the hub itself said of the file before it sent us elsewhere.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    pub(super) linked_etag: Option<String>,
    pub(super) linked_size: Option<u64>,
}

impl HubClient {
    /// A client with the token as it is now.
    pub(super) fn new(config: &HubConfig) -> Result<Self, HubError> {
        let base = config.base().map_err(HubError::Config)?;
        let token = config.token().map_err(HubError::Config)?;
        let trusted = base.host_str().unwrap_or_default().to_owned();
        let resolver = Resolver { trusted, private_addresses: config.private_addresses };
        let mut http = HttpConnector::new_with_resolver(resolver);
        http.set_connect_timeout(Some(config.connect_timeout()));
        http.set_nodelay(true);
        http.enforce_http(false);
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .or_else(|err| without_roots(&base, &err))?
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new()).build(https);
        Ok(Self {
            client,
            base,
            token,
            private_addresses: config.private_addresses,
            answer_timeout: config.connect_timeout() + config.idle_timeout(),
            idle_timeout: config.idle_timeout(),
        })
    }

    /// The URL below the base; each part is encoded.
    pub(super) fn url<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Result<Url, HubError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| HubError::Config("hub.base_url can't have a path".to_owned()))?
            .pop_if_empty()
            .extend(parts);
        Ok(url)
    }

    /// The whole body of a small answer.
    pub(super) async fn get_whole(&self, url: Url, what: &str) -> Result<Bytes, HubError> {
        let answer = self.get(url, what, None).await?;
        let body = Limited::new(answer.response.into_body(), LIST_BYTES_MAX).collect();
        match timeout(LIST_TIMEOUT, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(err)) => Err(broken(what, err.as_ref())),
            Err(_elapsed) => Err(late(what, LIST_TIMEOUT)),
        }
    }

    /// The 200 or 206 (or 416, if a rest was asked for) that is there at the end of the redirects.
    pub(super) async fn get(&self, url: Url, what: &str, rest: Option<&Rest>) -> Result<Answer, HubError> {
        let mut url = url;
        let (mut linked_etag, mut linked_size) = (None, None);
        // Once another host was involved the token stays here, also if that host sends us back.
        let mut may_know_token = true;
        for _ in 0..=REDIRECTS_MAX {
            may_know_token &= url.origin() == self.base.origin();
            let response = self.send(&url, what, rest, may_know_token).await?;
            if may_know_token {
                linked_etag = text(response.headers(), "x-linked-etag").map(bare_etag).or(linked_etag);
                linked_size =
                    text(response.headers(), "x-linked-size").and_then(|it| it.parse().ok()).or(linked_size);
            }
            let status = response.status();
            if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                url = self.next(&url, response.headers())?;
                continue;
            }
            return match status {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                    Ok(Answer { response, linked_etag, linked_size })
                }
                // The rest is not there: the caller begins anew.
                StatusCode::RANGE_NOT_SATISFIABLE if rest.is_some() => {
                    Ok(Answer { response, linked_etag, linked_size })
                }
                _ => Err(self.refusal(response.headers(), status, what, may_know_token)),
            };
        }
        Err(HubError::Redirect(format!("{what} was redirected more than {REDIRECTS_MAX} times")))
    }

    /// The next piece of a body; `None` at its end.
    pub(super) async fn piece(&self, body: &mut Incoming, what: &str) -> Result<Option<Bytes>, HubError> {
        loop {
            match timeout(self.idle_timeout, body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Ok(Some(Err(err))) => return Err(broken(what, &err)),
                Err(_elapsed) => return Err(late(what, self.idle_timeout)),
            }
        }
    }

    async fn send(
        &self,
        url: &Url,
        what: &str,
        rest: Option<&Rest>,
        with_token: bool,
    ) -> Result<Response<Incoming>, HubError> {
        let mut request = Request::get(url.as_str())
            .header(USER_AGENT, concat!("dedi/", env!("CARGO_PKG_VERSION")))
            // Sizes and ranges are those of the file, not of a compressed form of it.
            .header(ACCEPT_ENCODING, "identity");
        if let (Some(token), true) = (&self.token, with_token) {
            request = request.header(AUTHORIZATION, token.header());
        }
        if let Some(rest) = rest {
            request = request.header(RANGE, format!("bytes={}-", rest.from));
            if let Some(etag) = &rest.etag {
                request = request.header(IF_RANGE, etag.clone());
            }
        }
        let request = request
            .body(Empty::new())
            .map_err(|err| HubError::Foreign(format!("the address of {what} makes no request ({err})")))?;
        match timeout(self.answer_timeout, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(err)) => Err(broken(&format!("{what} could not be asked for at {}", shown(url)), &err)),
            Err(_elapsed) => Err(late(what, self.answer_timeout)),
        }
    }

    fn next(&self, from: &Url, headers: &HeaderMap) -> Result<Url, HubError> {
        let location = text(headers, LOCATION.as_str()).unwrap_or_default();
        let to = from
            .join(&location)
            .map_err(|_malformed| HubError::Redirect("its address is malformed".to_owned()))?;
        match may_go(&self.base, &to, self.private_addresses) {
            Ok(()) => Ok(to),
            Err(why) => Err(HubError::Redirect(format!("{} {why}", shown(&to)))),
        }
    }

    fn refusal(&self, headers: &HeaderMap, status: StatusCode, what: &str, is_hub: bool) -> HubError {
        match status {
            // The hub also answers 401 for what does not exist, so as not to tell what does.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if is_hub => {
                HubError::Gated { what: what.to_owned(), with_token: self.token.is_some() }
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => HubError::NotFound(what.to_owned()),
            it if it.is_server_error() || matches!(it.as_u16(), 403 | 408 | 425 | 429) => {
                HubError::Status { status, what: what.to_owned(), retry_after: wait::asked(headers) }
            }
            _ => HubError::Foreign(format!("{status} for {what}")),
        }
    }
}

/// Without certificates TLS can't be spoken; a hub on plain http needs none.
fn without_roots(
    base: &Url,
    err: &io::Error,
) -> Result<HttpsConnectorBuilder<hyper_rustls::builderstates::WantsSchemes>, HubError> {
    if base.scheme() == "https" {
        return Err(HubError::Config(format!(
            "this host has no certificates to know the hub by ({err}): install the package ca-certificates"
        )));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|err| HubError::Config(format!("TLS can't be set up: {err}")))?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(tls))
}

/// Host and path: what follows may be a signature that opens the file.
fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), url.authority(), url.path())
}

pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// `W/"abc"` and `"abc"` as `abc`.
pub(super) fn bare_etag(etag: String) -> String {
    etag.trim_start_matches("W/").trim_matches('"').to_owned()
}

fn broken(what: &str, err: &(dyn std::error::Error + 'static)) -> HubError {
    let mut innermost = err;
    let mut tls = is_certificate(err);
    while let Some(cause) = innermost.source() {
        innermost = cause;
        tls |= is_certificate(cause);
    }
    let (what, cause) = (what.to_owned(), innermost.to_string());
    match tls {
        true => HubError::Certificate { what, cause },
        false => HubError::Line { what, cause },
    }
}

fn is_certificate(err: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(tls) = err.downcast_ref::<rustls::Error>() {
        return matches!(tls, rustls::Error::InvalidCertificate(_));
    }
    // An IO error's source is not what it holds, but the source of that.
    err.downcast_ref::<io::Error>().and_then(io::Error::get_ref).is_some_and(|it| is_certificate(it))
}

fn late(what: &str, waited: Duration) -> HubError {
    HubError::Line { what: what.to_owned(), cause: format!("nothing came for {} s", waited.as_secs()) }
}

//! HTTP to the API, one request at a time, every wait bounded. Plain HTTP only: TLS is for a proxy, here as
//! in the server.

use std::time::Duration;

use bytes::Bytes;
use dedi_api::ErrorBody;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client_error::ClientError;
use crate::error::{CliError, Result as CliResult};
use crate::settings::Settings;

/// A server, a key, and a bound on patience.
pub(crate) struct Client {
    http: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
    base_url: String,
    authorization: HeaderValue,
    key_source: String,
    timeout: Option<Duration>,
}

type Result<T> = std::result::Result<T, ClientError>;

/// How long a control request may stay without an answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a chat may stay without a byte; a first request may have to wait for a replica to start.
const CHAT_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a followed log may be quiet; the server ends it after an hour.
const QUIET_MAX: Duration = Duration::from_secs(2 * 3_600);
/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read; the log of a replica is the largest one there is.
const BODY_BYTES_MAX: usize = 64 << 20;

impl Client {
    pub(crate) fn new(settings: Settings) -> CliResult<Self> {
        let Settings { base_url, api_key, key_source, timeout } = settings;
        match base_url.parse::<http::Uri>().ok().and_then(|it| it.scheme_str().map(str::to_owned)).as_deref()
        {
            Some("http") => {}
            Some("https") => {
                return Err(CliError::usage(
                    format!("{base_url} needs TLS, which this command line does not speak"),
                    "run it on the server's host, or through `ssh -L 7437:127.0.0.1:7437 HOST`",
                ));
            }
            Some(_) | None => {
                return Err(CliError::usage(
                    format!("`{base_url}` is not a base URL"),
                    "it looks like http://127.0.0.1:7437/v1",
                ));
            }
        }
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", api_key.reveal())).map_err(|_invalid| {
                CliError::usage(
                    format!("the API key from {key_source} contains characters no key has"),
                    "copy it again; a key is one word",
                )
            })?;
        authorization.set_sensitive(true);
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        // A connection that is kept would take the next request to a server that has handed over, and hold it up.
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Ok(Self { http, base_url, authorization, key_source, timeout })
    }

    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let bytes = self.whole(Method::GET, path, None).await?;
        self.parse(path, &bytes)
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let bytes = self.whole(Method::POST, path, Some(self.encode(path, body)?)).await?;
        self.parse(path, &bytes)
    }

    pub(crate) async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let bytes = self.whole(Method::PATCH, path, Some(self.encode(path, body)?)).await?;
        self.parse(path, &bytes)
    }

    /// Whatever a 2xx answer carries is ignored.
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        self.whole(Method::DELETE, path, None).await.map(|_answer| ())
    }

    /// Posts and hands out the body as it arrives.
    pub(crate) async fn post_stream(&self, path: &str, body: &impl Serialize) -> Result<Stream> {
        let patience = self.timeout.unwrap_or(CHAT_TIMEOUT);
        let answer = self.send(Method::POST, path, Some(self.encode(path, body)?), patience).await?;
        let content_type = answer.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let is_events = content_type.is_some_and(|it| it.contains("text/event-stream"));
        Ok(Stream { body: answer.into_body(), is_events, url: self.url(path), patience })
    }

    /// Gets a text that may go on growing; it is quiet for as long as nothing is written to it.
    pub(crate) async fn get_stream(&self, path: &str) -> Result<Stream> {
        let answer = self.send(Method::GET, path, None, self.timeout.unwrap_or(TIMEOUT)).await?;
        Ok(Stream { body: answer.into_body(), is_events: false, url: self.url(path), patience: QUIET_MAX })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    fn encode(&self, path: &str, body: &impl Serialize) -> Result<Bytes> {
        serde_json::to_vec(body)
            .map(Bytes::from)
            .map_err(|err| ClientError::Foreign { url: self.url(path), what: err.to_string() })
    }

    fn parse<T: DeserializeOwned>(&self, path: &str, bytes: &[u8]) -> Result<T> {
        serde_json::from_slice(bytes).map_err(|err| ClientError::Foreign {
            url: self.url(path),
            what: format!("its answer is not what was asked for ({err})"),
        })
    }

    async fn whole(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Bytes> {
        let patience = self.timeout.unwrap_or(TIMEOUT);
        let answer = self.send(method, path, body, patience).await?;
        self.collect(path, answer.into_body(), patience).await
    }

    async fn collect(&self, path: &str, body: Incoming, patience: Duration) -> Result<Bytes> {
        match tokio::time::timeout(patience, Limited::new(body, BODY_BYTES_MAX).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(err)) => Err(ClientError::Broken { url: self.url(path), cause: err.to_string() }),
            Err(_elapsed) => Err(ClientError::TimedOut { url: self.url(path), secs: patience.as_secs() }),
        }
    }

    /// The answer, if it is a 2xx.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        patience: Duration,
    ) -> Result<Response<Incoming>> {
        let url = self.url(path);
        let mut request = Request::builder()
            .method(method)
            .uri(&url)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(USER_AGENT, concat!("dedi/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "*/*");
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|err| ClientError::Foreign { url: url.clone(), what: err.to_string() })?;
        let answer = match tokio::time::timeout(patience, self.http.request(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(err)) if err.is_connect() => {
                return Err(ClientError::Unreachable { url: self.base_url.clone() });
            }
            Ok(Err(err)) => return Err(ClientError::Broken { url, cause: innermost(&err) }),
            Err(_elapsed) => return Err(ClientError::TimedOut { url, secs: patience.as_secs() }),
        };
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let bytes = self.collect(path, answer.into_body(), patience).await?;
        match serde_json::from_slice::<ErrorBody>(&bytes) {
            Ok(body) => Err(ClientError::Refused {
                status,
                detail: Box::new(body.error),
                key_source: self.key_source.clone(),
            }),
            Err(_other_shape) => Err(ClientError::Foreign {
                url: self.base_url.clone(),
                what: format!("it answered {status} without an error object"),
            }),
        }
    }
}

/// An answer's body as it arrives.
pub(crate) struct Stream {
    body: Incoming,
    is_events: bool,
    url: String,
    patience: Duration,
}

impl Stream {
    /// Whether it is an event stream rather than one JSON document.
    pub(crate) fn is_events(&self) -> bool {
        self.is_events
    }

    /// The next bytes; `None` at a clean end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            match tokio::time::timeout(self.patience, self.body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Ok(Some(Err(err))) => {
                    return Err(ClientError::Broken { url: self.url.clone(), cause: innermost(&err) });
                }
                Err(_elapsed) => {
                    return Err(ClientError::TimedOut {
                        url: self.url.clone(),
                        secs: self.patience.as_secs(),
                    });
                }
            }
        }
    }
}

/// The outer errors of an HTTP client only say that a request failed.
fn innermost(err: &dyn std::error::Error) -> String {
    let mut at = err;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}

/// A path segment or query value with everything else than unreserved characters encoded.
pub(crate) fn encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_escapes_slashes_in_names() {
        assert_eq!(encoded("local/dedi/demo-1 ä"), "local%2Fdedi%2Fdemo-1%20%C3%A4");
    }
}

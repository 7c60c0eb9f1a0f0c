//! Where management requests are answered: here, while this server has the data folder. While it is given to a successor
//! those that write wait, and once the successor serves all of them are passed on to it, so that a client whose connection
//! the old server took hears nothing of the change.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dedi_http::ErrorResponse;
use http::header::{CONNECTION, HOST, HeaderName, ORIGIN, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// Longest a request waits for it to be decided who has the folder. Somewhat more than a successor has to open it.
const DECISION_WAIT: Duration = Duration::from_secs(6);
/// Longest the folder is kept from a successor for requests that are being answered.
const LEAVE_WAIT: Duration = Duration::from_secs(2);
/// Longest the successor may take to begin its answer. Some of its own requests wait for a hub.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// Of one connection, not of the message.
const HOP_BY_HOP: [HeaderName; 5] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("te"),
    TRANSFER_ENCODING,
    UPGRADE,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// This server has the folder.
    Here,
    /// A successor may have it, or give it back.
    Between,
    /// A successor serves at this address.
    There(SocketAddr),
}

/// Decides which server answers management requests. Clones share their state.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    owner: Arc<watch::Sender<Owner>>,
    writing: TaskTracker,
    reading: TaskTracker,
    client: Client<HttpConnector, Body>,
}

impl Gate {
    /// A gate that answers requests in this server.
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(DECISION_WAIT));
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        let (writing, reading) = (TaskTracker::new(), TaskTracker::new());
        Self { owner: Arc::new(watch::Sender::new(Owner::Here)), writing, reading, client }
    }

    /// From now on requests that write wait; returns when those under way are done, or have taken too long.
    pub(crate) async fn hold_writes(&self) {
        self.owner.send_replace(Owner::Between);
        until_empty(&self.writing).await;
    }

    /// This server has the folder again.
    pub(crate) fn open(&self) {
        self.owner.send_replace(Owner::Here);
    }

    /// A successor serves on the listening socket of `address`; returns when no request is being answered here any
    /// more, or one takes too long.
    pub(crate) async fn pass_on(&self, address: SocketAddr) {
        self.owner.send_replace(Owner::There(reachable(address)));
        until_empty(&self.writing).await;
        until_empty(&self.reading).await;
    }

    /// Where a request is to be answered, once that is decided; `None` if it is not in time.
    async fn owner(&self, writes: bool) -> Option<Owner> {
        let mut seen = self.owner.subscribe();
        let is_decided = |it: &Owner| *it != Owner::Between || !writes;
        let waited = tokio::time::timeout(DECISION_WAIT, seen.wait_for(is_decided)).await;
        waited.ok()?.ok().map(|it| *it)
    }
}

async fn until_empty(inside: &TaskTracker) {
    inside.close();
    if tokio::time::timeout(LEAVE_WAIT, inside.wait()).await.is_err() {
        tracing::warn!("{} management requests take long and may have to be repeated", inside.len());
    }
    inside.reopen();
}

/// An address to connect to, where the server listens on all of the host's.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let ip: IpAddr = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    SocketAddr::new(ip, address.port())
}

/// Answers a management request here or there.
pub(crate) async fn answer(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let writes = !matches!(*request.method(), Method::GET | Method::HEAD);
    loop {
        let owner = gate.owner(writes).await;
        if let Some(Owner::There(address)) = owner {
            return forward(&gate.client, address, request).await;
        }
        // Entered before the last check: who closes the gate after that waits for it.
        let inside = if writes { gate.writing.token() } else { gate.reading.token() };
        let now = *gate.owner.borrow();
        match now {
            Owner::There(_) => {}
            Owner::Between if writes && owner.is_some() => {}
            // Also what waited in vain: the store says what is the matter.
            Owner::Here | Owner::Between => {
                let response = next.run(request).await;
                drop(inside);
                return response;
            }
        }
    }
}

async fn forward(client: &Client<HttpConnector, Body>, address: SocketAddr, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    tracing::info!(method = %parts.method, path = parts.uri.path(), "passed on to the new server");
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let authority = Authority::try_from(address.to_string());
    let uri = authority.map(|it| {
        // Its host is the one that the client named.
        if let (Some(named), None) = (parts.uri.authority(), parts.headers.get(HOST))
            && let Ok(named) = HeaderValue::from_str(named.as_str())
        {
            parts.headers.insert(HOST, named);
        }
        let mut uri = http::uri::Parts::default();
        (uri.scheme, uri.authority, uri.path_and_query) = (Some(Scheme::HTTP), Some(it), Some(path));
        Uri::from_parts(uri)
    });
    let Ok(Ok(uri)) = uri else { return unavailable("The server is being replaced; nothing was changed") };
    without_hops(&mut parts.headers);
    // Browsers are answered here: told by both, who may read it would be there twice.
    parts.headers.remove(ORIGIN);
    (parts.uri, parts.version) = (uri, http::Version::HTTP_11);
    // The connection's parts here mean nothing there.
    parts.extensions = http::Extensions::new();
    match tokio::time::timeout(ANSWER_WAIT, client.request(Request::from_parts(parts, body))).await {
        Ok(Ok(response)) => {
            let (mut parts, body) = response.into_parts();
            without_hops(&mut parts.headers);
            Response::from_parts(parts, Body::new(body))
        }
        Ok(Err(err)) if err.is_connect() => {
            tracing::warn!("the new server can't be reached: {err}");
            unavailable("The server was replaced and the new one does not answer; nothing was changed")
        }
        Ok(Err(err)) => {
            tracing::warn!("the new server did not answer: {err}");
            unavailable(
                "The server was replaced and the new one did not answer; what was asked for may be done or not",
            )
        }
        Err(_elapsed) => unavailable(
            "The server was replaced and the new one did not answer in time; what was asked for may be done or not",
        ),
    }
}

fn unavailable(message: &str) -> Response {
    ErrorResponse::unavailable(message).into_response()
}

fn without_hops(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

//! Accepts connections within limits and hands them to the routers; on shutdown stops accepting and lets
//! what runs finish.

mod activity;
mod config;
mod permits;
mod proxies;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dedi_control::LastReply;
use dedi_http::ErrorResponse;
use http::header::{CONNECTION, HeaderValue};
use http::{Method, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use self::activity::Activity;
pub(crate) use self::config::ListenConfig;

use self::activity::{Peer, Waits};
use self::permits::ConnectionPermits;
use self::proxies::TrustedProxies;
use crate::descriptors;
use crate::framing::{Framing, Heads};
use crate::limits::{HEAD_BYTES_READ_MAX, HEADERS_READ_MAX};
use crate::socket::WatchedSocket;

/// What connections get beyond the grace to send their last bytes.
const LAST_BYTES_WAIT: Duration = Duration::from_secs(5);
/// How long kept-alive connections get to send a request that is on its way; its answer says that it is the last.
/// Closed at once, a client's request and our closing would cross on the wire, and the client could not know
/// whether it was done.
const LAST_REQUEST_WAIT: Duration = Duration::from_secs(2);
/// How long every connection takes at most to hear that it takes no further request.
const TOLD_WAIT: Duration = Duration::from_millis(100);

/// Requests at once on one connection of HTTP/2: half of what an address may have otherwise.
const HTTP2_STREAMS_MAX: u32 = 128;
/// Streams that a client may have reset before they were looked at, or that were refused; a client that does so more
/// often wants to keep the server busy.
const HTTP2_RESETS_MAX: usize = 100;
/// Bytes of an answer that wait for a client of HTTP/2 to take them.
const HTTP2_SEND_BYTES_MAX: usize = 256 << 10;
/// Between two questions whether the other end is still there.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
/// Longest wait for the answer to one.
const HTTP2_PING_WAIT: Duration = Duration::from_secs(20);

/// Descriptors a connection may need: its own, and one to the engine that answers it.
const DESCRIPTORS_PER_CONNECTION: usize = 2;
/// Descriptors kept for the rest: the database, looks at replicas, probes, the admin socket.
const DESCRIPTORS_RESERVED: usize = 64;

/// Serves `app` until `cancel`, then waits for running requests up to the grace. A client that takes nothing of its
/// answer for `stall_max` is cut. `closed` is cancelled when no
/// connection takes a further request.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    config: ListenConfig,
    stall_max: Duration,
    cancel: CancellationToken,
    closed: CancellationToken,
) {
    let _closed_in_any_case = closed.clone().drop_guard();
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let permits = ConnectionPermits::new(connections_max(&config), config.connections_per_ip_max);
    let waits = Waits::new(&config, stall_max);
    let trusted = Arc::new(config.trusted_proxies.clone());
    let server = server();
    let app = app.layer(axum::middleware::from_fn_with_state(cancel.clone(), say_last));
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(it) => it,
            Err(err) => {
                // Out of descriptors, most likely: those in use will be closed; asking again at once would spin.
                tracing::warn!(error = %err, "could not accept a connection; trying again");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let is_trusted = trusted.contain(peer.ip());
        let Some(permit) = permits.enter(peer.ip(), is_trusted) else {
            tracing::debug!(%peer, "closed a connection: too many from this address are busy");
            continue;
        };
        let activity = Activity::new(waits, permit);
        let _ = stream.set_nodelay(true);
        let last = LastReply::default();
        let heads = Heads::default();
        let of_peer = Peer { address: peer, activity: activity.clone() };
        let app = app
            .clone()
            .layer(axum::middleware::from_fn_with_state(
                (of_peer, is_trusted.then(|| trusted.clone())),
                watch,
            ))
            .layer(axum::Extension(last.clone()))
            .layer(axum::Extension(heads.clone()));
        let framing = Framing::new(heads);
        let socket = TokioIo::new(WatchedSocket::new(stream, last, activity.clone(), stall_max, framing));
        let service = TowerToHyperService::new(app);
        let connection = graceful.watch(server.serve_connection(socket, service).into_owned());
        connections.spawn(async move {
            tokio::select! {
                biased; // what a connection can still do, it does before it is closed
                done = connection => {
                    if let Err(err) = done {
                        tracing::debug!(%peer, error = %err, "a connection ended early");
                    }
                }
                why = activity.over() => tracing::debug!(%peer, ?why, "closed a connection"),
            }
        });
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    let _elapsed = tokio::time::timeout(LAST_REQUEST_WAIT, all).await;
    // Longer than the gateway's, which ends streams with an error event when the grace is over.
    let grace = Duration::from_secs(config.shutdown_grace_secs) + LAST_BYTES_WAIT;
    let is_idle = connections.is_empty();
    let told = async {
        if !is_idle {
            tokio::time::sleep(TOLD_WAIT).await;
        }
        closed.cancel();
    };
    let all = async { tokio::join!(graceful.shutdown(), told) };
    if tokio::time::timeout(grace, all).await.is_err() {
        tracing::warn!(
            "connections were still busy after {} s and are cut: {}",
            grace.as_secs(),
            connections.len()
        );
    }
    connections.shutdown().await;
}

/// Longest that running requests may take once the server is to end.
pub(crate) fn grace(config: &ListenConfig) -> Duration {
    LAST_REQUEST_WAIT + Duration::from_secs(config.shutdown_grace_secs) + LAST_BYTES_WAIT
}

/// As many connections as configured, or as the descriptors of this process are good for.
fn connections_max(config: &ListenConfig) -> usize {
    let Some(descriptors) = descriptors::limit() else { return config.connections_max };
    let most = good_for(descriptors);
    if most < config.connections_max {
        tracing::warn!(
            "{descriptors} descriptors are enough for {most} connections, fewer than `http.connections_max`, {}; \
             raise the limit of open files to lift this",
            config.connections_max
        );
    }
    config.connections_max.min(most.max(1))
}

/// Connections that so many descriptors are enough for.
fn good_for(descriptors: usize) -> usize {
    descriptors.saturating_sub(DESCRIPTORS_RESERVED) / DESCRIPTORS_PER_CONNECTION
}

/// Once it is closing, says with each answer that the connection takes no further request.
async fn say_last(State(closing): State<CancellationToken>, request: Request, next: Next) -> Response {
    let is_told_so = request.version() < Version::HTTP_2; // later versions have a frame for it
    let mut response = next.run(request).await;
    if is_told_so && closing.is_cancelled() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The request came by a connection of the reserve.
#[derive(Clone, Copy)]
struct Reserved;

/// Keeps the reserve for those who manage the server.
pub(crate) async fn keep_reserve(request: Request, next: Next) -> Response {
    if request.extensions().get::<Reserved>().is_some() && is_inference(&request) {
        let message = "Every connection of this server, or of your address, is busy";
        return ErrorResponse::unavailable(message).into_response();
    }
    next.run(request).await
}

/// Tells who the client is, and watches the request to the end of its answer.
async fn watch(
    State((peer, trusted)): State<(Peer, Option<Arc<TrustedProxies>>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let under_way = peer.activity.begin(request.version() >= Version::HTTP_2);
    let client = trusted.map_or(peer.address, |it| it.client(request.headers(), peer.address));
    request.extensions_mut().insert(ConnectInfo(client));
    let is_reserved = peer.activity.is_reserved();
    if is_reserved {
        request.extensions_mut().insert(Reserved);
    }
    let mut response = next.run(request).await;
    if is_reserved {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| under_way.until_the_end_of(body))
}

fn is_inference(request: &Request) -> bool {
    let path = request.uri().path();
    request.method() == Method::POST && ["/completions", "/embeddings"].iter().any(|it| path.ends_with(it))
}

async fn accept(listener: &TcpListener, permits: &ConnectionPermits) -> io::Result<(TcpStream, SocketAddr)> {
    permits.free().await;
    listener.accept().await
}

/// The head's limit is not the library's: see [`activity`].
fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(HEADERS_READ_MAX)
        .max_buf_size(HEAD_BYTES_READ_MAX)
        .half_close(false);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_READ_MAX).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(HTTP2_RESETS_MAX)
        .max_local_error_reset_streams(HTTP2_RESETS_MAX)
        .max_send_buf_size(HTTP2_SEND_BYTES_MAX)
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .keep_alive_timeout(HTTP2_PING_WAIT);
    server
}

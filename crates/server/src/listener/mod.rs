//! Accepts connections within limits and hands them to the routers; on shutdown stops accepting and lets
//! what runs finish.

mod activity;
mod config;
mod permits;
mod proxies;

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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn the_usual_limit_of_descriptors_is_enough_for_the_default() {
        assert!(good_for(20_000) >= ListenConfig::default().connections_max);
    }

    /// Longest any condition is waited for.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// A body of pieces without an end.
    struct Endless;

    impl hyper::body::Body for Endless {
        type Data = bytes::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
            let piece = bytes::Bytes::from_static(&[b'x'; 16 << 10]);
            std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(piece))))
        }
    }

    /// Asks for `path` and reads nothing until the server has cut the connection.
    async fn must_be_cut(address: SocketAddr, path: &str) {
        let client = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        client.writable().await.unwrap();
        assert_eq!(client.try_write(request.as_bytes()).unwrap(), request.len());
        let cut = async {
            loop {
                match client.take_error().unwrap() {
                    Some(err) => return err,
                    None => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        let err = tokio::time::timeout(PATIENCE, cut).await.expect("the connection ends");
        assert_eq!(err.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut_whatever_its_answer_is() {
        // More than both kernels' buffers hold.
        const LONG: usize = 64 << 20;
        let app = Router::new()
            .route("/plain", axum::routing::get(|| async { vec![b'x'; LONG] }))
            .route("/stream", axum::routing::get(|| async { axum::body::Body::new(Endless) }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stall_max) = (CancellationToken::new(), Duration::from_millis(200));
        let mut server = JoinSet::new();
        server.spawn(serve(
            listener,
            app,
            ListenConfig::default(),
            stall_max,
            stop.clone(),
            CancellationToken::new(),
        ));
        tokio::join!(must_be_cut(address, "/plain"), must_be_cut(address, "/stream"));
        stop.cancel();
        server.join_next().await.unwrap().unwrap();
    }

    /// A frame of HTTP/2.
    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const CONTINUATION: u8 = 9;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;

    /// Preface and settings, these among them.
    fn preface(settings: &[u8]) -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, settings));
        bytes
    }

    /// The head of a GET, its fields written out.
    fn get(path: &str) -> Vec<u8> {
        let mut block = Vec::new();
        let fields = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "localhost")];
        for text in fields.iter().flat_map(|(name, value)| [(0, *name), (1, *value)]) {
            if text.0 == 0 {
                block.push(0); // a field with a name of its own
            }
            block.push(u8::try_from(text.1.len()).unwrap());
            block.extend(text.1.as_bytes());
        }
        block
    }

    /// A server of `app` with a stall limit of 200 ms; its address.
    async fn served(app: Router, server: &mut JoinSet<()>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stall_max) = (CancellationToken::new(), Duration::from_millis(200));
        let config = ListenConfig::default();
        server.spawn(serve(listener, app, config, stall_max, stop, CancellationToken::new()));
        address
    }

    /// Writes and reads until the server has closed the connection.
    async fn must_be_closed(mut client: TcpStream, mut writes: impl FnMut() -> Vec<u8>) {
        let closed = async {
            let mut chunk = vec![0; 64 << 10];
            loop {
                let more = writes();
                if !more.is_empty() && client.write_all(&more).await.is_err() {
                    return;
                }
                let read = tokio::time::timeout(Duration::from_millis(1), client.read(&mut chunk)).await;
                if let Ok(Ok(0) | Err(_)) = read {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, closed).await.expect("the connection ends");
    }

    #[tokio::test]
    async fn a_client_of_http_2_that_opens_no_window_is_cut() {
        let app =
            Router::new().route("/stream", axum::routing::get(|| async { axum::body::Body::new(Endless) }));
        let mut server = JoinSet::new();
        let mut client = TcpStream::connect(served(app, &mut server).await).await.unwrap();
        // SETTINGS_INITIAL_WINDOW_SIZE is 0.
        let mut bytes = preface(&[0, 4, 0, 0, 0, 0]);
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, 1, &get("/stream")));
        client.write_all(&bytes).await.unwrap();
        must_be_closed(client, Vec::new).await;
    }

    #[tokio::test]
    async fn a_client_of_http_2_that_resets_its_requests_at_once_is_cut() {
        let app = Router::new().route("/", axum::routing::get(std::future::pending::<()>));
        let mut server = JoinSet::new();
        let mut client = TcpStream::connect(served(app, &mut server).await).await.unwrap();
        client.write_all(&preface(&[])).await.unwrap();
        let mut stream = 1;
        must_be_closed(client, || {
            let mut bytes = Vec::new();
            for _ in 0..200 {
                bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &get("/")));
                bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
                stream += 2;
            }
            bytes
        })
        .await;
    }

    /// The next frame: its kind, its stream and its payload.
    async fn read_frame(client: &mut TcpStream) -> (u8, u32, Vec<u8>) {
        let mut head = [0; 9];
        let read = async {
            client.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            client.read_exact(&mut payload).await.unwrap();
            payload
        };
        let payload = tokio::time::timeout(PATIENCE, read).await.expect("a frame comes");
        (head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload)
    }

    #[tokio::test]
    async fn a_client_of_http_2_that_has_more_requests_at_once_than_it_may_is_refused_the_next_one() {
        let begun = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counts = begun.clone();
        let app = Router::new().route(
            "/",
            axum::routing::get(move || {
                counts.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                std::future::pending::<()>()
            }),
        );
        let mut server = JoinSet::new();
        let mut client = TcpStream::connect(served(app, &mut server).await).await.unwrap();
        let mut bytes = preface(&[]);
        let nth = |n: u32| 2 * n + 1;
        for n in 0..=HTTP2_STREAMS_MAX {
            bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, nth(n), &get("/")));
        }
        client.write_all(&bytes).await.unwrap();
        let refused = loop {
            let (kind, stream, payload) = read_frame(&mut client).await;
            if kind == RST_STREAM {
                break (stream, payload);
            }
        };
        const REFUSED_STREAM: u32 = 7;
        assert_eq!(refused, (nth(HTTP2_STREAMS_MAX), REFUSED_STREAM.to_be_bytes().to_vec()));
        let all_others = async {
            while begun.load(std::sync::atomic::Ordering::SeqCst) < HTTP2_STREAMS_MAX {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, all_others).await.expect("the others are handled");
        assert_eq!(begun.load(std::sync::atomic::Ordering::SeqCst), HTTP2_STREAMS_MAX);
    }

    #[tokio::test]
    async fn a_head_of_http_2_that_goes_on_for_ever_is_cut() {
        let mut server = JoinSet::new();
        let mut client = TcpStream::connect(served(Router::new(), &mut server).await).await.unwrap();
        let mut bytes = preface(&[]);
        bytes.extend(frame(HEADERS, END_STREAM, 1, &get("/")));
        client.write_all(&bytes).await.unwrap();
        must_be_closed(client, || frame(CONTINUATION, 0, 1, &[0, 1, b'x', 1, b'y'].repeat(1_000))).await;
    }

    #[tokio::test]
    async fn an_answer_that_is_slow_by_itself_is_not_cut() {
        let app = Router::new().route(
            "/",
            axum::routing::get(|| async {
                let pieces = futures_util::stream::unfold(0, |n| async move {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    (n < 3).then(|| (Ok::<_, io::Error>("piece"), n + 1))
                });
                axum::body::Body::from_stream(pieces)
            }),
        );
        let mut server = JoinSet::new();
        let mut client = TcpStream::connect(served(app, &mut server).await).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, client.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer.matches("piece").count(), 3, "{answer}");
        assert!(answer.ends_with("0\r\n\r\n"), "{answer}");
    }
}

//! Accepts connections within limits and hands them to the routers; on shutdown stops accepting and lets
//! what runs finish.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use dedi_control::LastReply;
use dedi_domain::key_failures::network;
use dedi_domain::{Setting, check_settings};
use http::Version;
use http::header::{CONNECTION, HeaderValue};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::descriptors;
use crate::framing::{Framing, Heads};
use crate::limits::{HEAD_BYTES_READ_MAX, HEADERS_READ_MAX};
use crate::socket::WatchedSocket;

/// Limits of the public listener. What each number may be stands in [`ListenConfig::numbers`].
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListenConfig {
    /// Open connections in all. Beyond it new ones wait in the kernel's queue.
    pub connections_max: usize,
    /// Open connections from one address. Beyond it they are closed at once.
    pub connections_per_ip_max: u32,
    /// Seconds for a request's headers to arrive.
    pub header_timeout_secs: u64,
    /// Seconds that running requests get to finish at shutdown.
    pub shutdown_grace_secs: u64,
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self {
            connections_max: 8_000, // what a host's usual limit of 20,000 descriptors is enough for
            connections_per_ip_max: 256,
            header_timeout_secs: 10, // a client that sends headers slower than this is stuck or hostile
            shutdown_grace_secs: 30, // the drain limit of replicas, so neither cuts the other short
        }
    }
}

impl ListenConfig {
    /// What is wrong with the values, as a sentence; types are checked before.
    ///
    /// # Errors
    ///
    /// That sentence.
    pub(crate) fn check(&self) -> Result<(), String> {
        check_settings("http", &self.numbers(), &Self::default().numbers())
    }

    /// What each number may be. The upper ends are far beyond real use: a number above one is a slip of the hand.
    pub(crate) fn numbers(&self) -> [Setting; 4] {
        [
            ("connections_max", self.connections_max as u64, 1..=1_000_000),
            ("connections_per_ip_max", u64::from(self.connections_per_ip_max), 1..=1_000_000),
            ("header_timeout_secs", self.header_timeout_secs, 1..=3_600),
            ("shutdown_grace_secs", self.shutdown_grace_secs, 0..=86_400),
        ]
    }
}

/// What connections get beyond the grace to send their last bytes.
const LAST_BYTES_WAIT: Duration = Duration::from_secs(5);
/// How long kept-alive connections get to send a request that is on its way; its answer says that it is the last.
/// Closed at once, a client's request and our closing would cross on the wire, and the client could not know
/// whether it was done.
const LAST_REQUEST_WAIT: Duration = Duration::from_secs(2);
/// How long every connection takes at most to hear that it takes no further request.
const TOLD_WAIT: Duration = Duration::from_millis(100);

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
    let per_ip = Arc::new(PerIp { max: config.connections_per_ip_max, counts: Mutex::default() });
    let places = Arc::new(tokio::sync::Semaphore::new(connections_max(&config)));
    let server = server(&config);
    let app = app.layer(axum::middleware::from_fn_with_state(cancel.clone(), say_last));
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, peer, place) = match accepted {
            Ok(it) => it,
            Err(err) => {
                // Out of descriptors, most likely: those in use will be closed; asking again at once would spin.
                tracing::warn!(error = %err, "could not accept a connection; trying again");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(counted) = per_ip.enter(peer.ip()) else {
            tracing::debug!(%peer, "closed a connection: too many from this address");
            continue;
        };
        let _ = stream.set_nodelay(true);
        let last = LastReply::default();
        let heads = Heads::default();
        let app = app.clone().layer(axum::Extension(ConnectInfo(peer))).layer(axum::Extension(last.clone()));
        let app = app.layer(axum::Extension(heads.clone()));
        let socket = TokioIo::new(WatchedSocket::new(stream, last, stall_max, Framing::new(heads)));
        let service = TowerToHyperService::new(app);
        let connection = graceful.watch(server.serve_connection(socket, service).into_owned());
        connections.spawn(async move {
            let _held = (place, counted);
            if let Err(err) = connection.await {
                tracing::debug!(%peer, error = %err, "a connection ended early");
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

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, places: &Arc<tokio::sync::Semaphore>) -> io::Result<Accepted> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

fn server(config: &ListenConfig) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(config.header_timeout_secs))
        .max_headers(HEADERS_READ_MAX)
        .max_buf_size(HEAD_BYTES_READ_MAX)
        .half_close(false);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        .max_header_list_size(u32::try_from(HEAD_BYTES_READ_MAX).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(100)
        .keep_alive_interval(Duration::from_secs(30));
    server
}

/// Open connections by address, those of IPv6 by the /64 that its owner has whole.
struct PerIp {
    max: u32,
    counts: Mutex<HashMap<IpAddr, u32>>,
}

/// One counted connection; counted until dropped.
struct Counted {
    per_ip: Arc<PerIp>,
    ip: IpAddr,
}

impl PerIp {
    fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Counted> {
        let ip = network(peer);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(ip).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Counted { per_ip: self.clone(), ip })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.per_ip.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_limit_of_descriptors_is_enough_for_the_default() {
        assert!(good_for(20_000) >= ListenConfig::default().connections_max);
    }

    #[test]
    fn a_listener_that_nobody_could_reach_is_refused() {
        ListenConfig::default().check().unwrap();
        let none = ListenConfig { connections_max: 0, ..ListenConfig::default() };
        let said = none.check().unwrap_err();
        assert_eq!(said, "http.connections_max must be 1 to 1000000, got 0, by default it is 8000");
        let none = ListenConfig { connections_per_ip_max: 0, ..ListenConfig::default() };
        assert!(none.check().unwrap_err().starts_with("http.connections_per_ip_max must be 1 to "));
    }

    #[test]
    fn an_address_gets_its_share_and_gets_it_back() {
        let per_ip = Arc::new(PerIp { max: 2, counts: Mutex::default() });
        let ip = IpAddr::from([127, 0, 0, 1]);
        let first = per_ip.enter(ip);
        let _second = per_ip.enter(ip);
        assert!(per_ip.enter(ip).is_none());
        drop(first);
        assert!(per_ip.enter(ip).is_some());
        let of_one_network = ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(|it| it.parse().unwrap());
        let entered: Vec<_> = of_one_network.iter().map(|it| per_ip.enter(*it)).collect();
        assert!(entered[1].is_some() && entered[2].is_none());
        assert!(per_ip.enter("2001:db8:0:1::1".parse().unwrap()).is_some());
        drop(entered);
        assert!(per_ip.enter(of_one_network[2]).is_some());
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
}

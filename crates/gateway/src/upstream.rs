//! Connections to replicas: HTTP/1.1 over unix sockets or TCP, kept for the next request while idle. Whoever
//! uses a connection also drives it, so that dropping an exchange closes its socket at once and the engine
//! stops generating.

use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use dedi_domain::{Address, KeyId};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};
use tokio_util::either::Either;

use dedi_http::RequestId;

type Socket = TokioIo<Either<UnixStream, TcpStream>>;

/// Header fields of an engine's answer.
const HEADERS_MAX: usize = 64;
/// Bytes read ahead of the client, and the longest head of an answer.
const BUFFER_BYTES: usize = 64 * 1024;

/// How long a process takes at most to close its sockets while it ends.
const DYING: Duration = Duration::from_millis(100);

/// Why a replica gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("could not connect")]
    Connect(#[source] std::io::Error),
    #[error("could not connect in time")]
    ConnectTimeout,
    /// The request, or a part of it, may have reached the engine.
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
    /// Nothing of the request was sent.
    #[error("the connection broke before the request was sent")]
    Unsent(#[source] hyper::Error),
}

/// An open connection to a replica.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: http1::Connection<Socket, Full<Bytes>>,
    closed: bool,
    is_unix: bool,
    /// Whether it has carried a request before.
    pub(crate) used: bool,
}

impl Connection {
    pub(crate) async fn open(address: &Address, limit: Duration) -> Result<Self, UpstreamError> {
        let connect = async {
            match address {
                Address::Unix(path) => UnixStream::connect(path).await.map(Either::Left),
                Address::Tcp(address) => {
                    let stream = TcpStream::connect(address).await?;
                    stream.set_nodelay(true)?;
                    Ok(Either::Right(stream))
                }
            }
        };
        let socket = timeout(limit, connect)
            .await
            .map_err(|_elapsed| UpstreamError::ConnectTimeout)?
            .map_err(UpstreamError::Connect)?;
        let (sender, driver) = http1::Builder::new()
            .max_headers(HEADERS_MAX)
            .max_buf_size(BUFFER_BYTES)
            .handshake(TokioIo::new(socket))
            .await
            .map_err(UpstreamError::Unsent)?;
        let is_unix = matches!(address, Address::Unix(_));
        Ok(Self { sender, driver, closed: false, is_unix, used: false })
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.closed && Pin::new(&mut self.driver).poll(cx).is_ready() {
            self.closed = true;
        }
    }

    /// Whether it can take a request; notices what happened to it while nobody drove it.
    fn is_usable(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        !self.closed && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of the answer.
    pub(crate) async fn send(mut self, request: Request<Full<Bytes>>) -> Result<Exchange, UpstreamError> {
        let response = {
            let mut answer = pin!(self.sender.try_send_request(request));
            let (driver, closed) = (&mut self.driver, &mut self.closed);
            poll_fn(|cx| {
                if !*closed && Pin::new(&mut *driver).poll(cx).is_ready() {
                    *closed = true;
                }
                if let Poll::Ready(done) = answer.as_mut().poll(cx) {
                    return Poll::Ready(done);
                }
                // The first poll only hands the request over; this one puts it on the wire.
                if !*closed && Pin::new(&mut *driver).poll(cx).is_ready() {
                    *closed = true;
                }
                answer.as_mut().poll(cx)
            })
            .await
        };
        // A request that comes back was not begun.
        let response = response.map_err(|mut err| match err.take_message() {
            Some(_request) => UpstreamError::Unsent(err.into_error()),
            None => {
                let error = err.into_error();
                if is_unread(&error, self.is_unix) {
                    UpstreamError::Unsent(error)
                } else {
                    UpstreamError::Broken(error)
                }
            }
        })?;
        self.used = true;
        Ok(Exchange { connection: self, response })
    }
}

/// Whether the other side was gone before it had read the request: it has none of it, or a part that is no request.
fn is_unread(error: &hyper::Error, is_unix: bool) -> bool {
    let cause = std::error::Error::source(error).and_then(|it| it.downcast_ref::<std::io::Error>());
    // With a broken pipe there was nobody to write to. A reset says of a unix socket that it was closed with bytes in it
    // that nobody had read.
    cause.is_some_and(|it| {
        it.kind() == std::io::ErrorKind::BrokenPipe
            || (is_unix && it.kind() == std::io::ErrorKind::ConnectionReset)
    })
}

/// A request on its connection, its answer being read.
#[derive(Debug)]
pub(crate) struct Exchange {
    connection: Connection,
    response: Response<Incoming>,
}

impl Exchange {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The first part of the answer's content type.
    pub(crate) fn is_event_stream(&self) -> bool {
        let value = self.response.headers().get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
        value.is_some_and(|it| it.to_ascii_lowercase().starts_with("text/event-stream"))
    }

    /// The next chunk of the body; `None` at its proper end. May be dropped and called again.
    pub(crate) async fn chunk(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// The same, polled.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        // Body and connection wake each other for each chunk, and both are polled here anyway: only what the
        // socket has to say is worth a wake. So the connection hears of the task only when nothing has come.
        let mut quiet = Context::from_waker(Waker::noop());
        self.connection.drive(&mut quiet);
        if let Poll::Ready(polled) = self.poll_body(&mut quiet) {
            return Poll::Ready(polled);
        }
        // By now the body has also signalled the connection that it wants more.
        self.connection.drive(cx);
        self.poll_body(&mut quiet)
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        loop {
            match ready!(Pin::new(self.response.body_mut()).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Err(err)) => return Poll::Ready(Some(Err(err))),
                None => return Poll::Ready(None),
            }
        }
    }

    /// The connection, once the body has ended.
    pub(crate) fn finish(mut self) -> Option<Connection> {
        drop(self.response);
        self.connection.is_usable().then_some(self.connection)
    }
}

/// Idle connections of one replica.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    closed: bool,
    connections: Vec<(Connection, Instant)>,
}

impl Pool {
    /// The one used last, if it is still open.
    pub(crate) fn take(&self, idle_max: Duration) -> Option<Connection> {
        let mut idle = self.idle.lock();
        while let Some((mut connection, since)) = idle.connections.pop() {
            if since.elapsed() > idle_max {
                idle.connections.clear(); // the others are older
            } else if connection.is_usable() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps it for the next request, unless there are `max` or the replica is gone.
    pub(crate) fn put(&self, connection: Connection, max: usize) {
        let mut idle = self.idle.lock();
        if !idle.closed && idle.connections.len() < max {
            idle.connections.push((connection, Instant::now()));
        }
    }

    /// Closes all, and those that would come back.
    pub(crate) fn close(&self) {
        let mut idle = self.idle.lock();
        idle.closed = true;
        idle.connections.clear();
    }
}

/// A request built from nothing: no header of the client travels on.
/// `queue` tells the engine which requests are of one sender, and nothing of who that is.
pub(crate) fn request(
    path: &'static str,
    id: &RequestId,
    queue: &HeaderValue,
    body: Bytes,
) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static(path);
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert("x-request-id", id.header());
    headers.insert(dedi_api::engine::QUEUE_HEADER, queue.clone());
    request
}

/// The name of a key's queue: the same for all its requests, and no key can be told from it.
pub(crate) fn queue_of(key: &KeyId) -> HeaderValue {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    HeaderValue::from_str(&format!("{:016x}", hasher.finish())).unwrap_or(HeaderValue::from_static("0"))
}

/// Whether an engine still takes connections at an address. One that is gone refuses at once, or has left no socket.
pub(crate) async fn is_alive(address: &Address, limit: Duration) -> bool {
    // A process that dies closes what it has open one after the other.
    tokio::time::sleep(DYING).await;
    Connection::open(address, limit).await.is_ok()
}

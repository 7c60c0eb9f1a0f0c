//! What must hold of any bytes on a connection: the HTTP library finds no request that was not looked at before.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;

use super::{Framing, Heads};
use crate::limits::{HEAD_BYTES_READ_MAX, HEADERS_READ_MAX};

/// The same is found however the bytes are cut, in bounded memory, and every request that the library hands out was looked
/// at, up to the first one that is refused.
pub(crate) fn framing(input: &[u8]) {
    let Some((size, bytes)) = input.split_first() else { return };
    let look = |size: usize| {
        let heads = Heads::default();
        let mut framing = Framing::new(heads.clone());
        for piece in bytes.chunks(size.max(1)) {
            framing.push(piece);
            assert!(framing.line.capacity() <= 2 * HEAD_BYTES_READ_MAX);
        }
        let found = heads.0.lock();
        (found.n_read, found.fault, framing.state)
    };
    let whole = look(bytes.len());
    assert_eq!(whole, look(usize::from(*size)));
    assert_eq!(whole, look(1));
    let (n_read, fault, state) = whole;
    // The listener sees these before the library, which speaks the other protocol then.
    if fault.is_some() || bytes.starts_with(b"PRI * HTTP/2") {
        return;
    }
    let n_served = served(bytes);
    assert!(n_served <= n_read, "the library found {n_served} requests, {n_read} were looked at ({state:?})");
}

/// How many requests the HTTP library hands out, with the listener's settings.
fn served(bytes: &[u8]) -> u64 {
    let n_served = std::cell::Cell::new(0);
    let n_read = std::cell::Cell::new(0);
    let service = service_fn(|request: http::Request<Incoming>| {
        n_served.set(n_served.get() + 1);
        async {
            let _cut = request.into_body().collect().await;
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server
        .header_read_timeout(None)
        .max_headers(HEADERS_READ_MAX)
        .max_buf_size(HEAD_BYTES_READ_MAX)
        .half_close(false);
    let mut connection = std::pin::pin!(server.serve_connection(Wire { bytes, n_read: &n_read }, service));
    let mut context = Context::from_waker(Waker::noop());
    loop {
        let before = (n_read.get(), n_served.get());
        // It gives way now and then though more could be done; when nothing comes of that, it waits for more bytes.
        if connection.as_mut().poll(&mut context).is_ready() || before == (n_read.get(), n_served.get()) {
            return n_served.get();
        }
    }
}

/// A client that sends its bytes, then nothing, and reads whatever it is sent.
struct Wire<'a> {
    bytes: &'a [u8],
    n_read: &'a std::cell::Cell<usize>,
}

impl Read for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let n = into.remaining().min(self.bytes.len());
        if n == 0 {
            return Poll::Pending;
        }
        let (now, later) = self.bytes.split_at(n);
        into.put_slice(now);
        self.bytes = later;
        self.n_read.set(self.n_read.get() + n);
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn fuzz_corpus_of_framing_holds() {
        dedi_testing::replay("framing", super::framing);
    }
}

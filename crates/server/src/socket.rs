//! A client's socket that says when it breaks: the answer that was last written to it was not read then. It breaks
//! by itself when the client takes nothing for too long.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use dedi_control::LastReply;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::framing::Framing;
use crate::listener::Activity;
use crate::unreadable;

/// A TCP stream with the answer that is on its way through it. A client that has read its answer and leaves ends
/// the stream in order; one whose answer still lay unread resets it.
pub(crate) struct WatchedSocket {
    stream: TcpStream,
    last: LastReply,
    activity: Arc<Activity>,
    stall_max: Duration,
    framing: Framing,
    /// Of an answer that is written instead of the library's; see `unreadable`.
    unsent: Bytes,
    /// Under way while bytes wait for the client to take some.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl WatchedSocket {
    /// The client may take nothing for `stall_max`.
    pub(crate) fn new(
        stream: TcpStream,
        last: LastReply,
        activity: Arc<Activity>,
        stall_max: Duration,
        framing: Framing,
    ) -> Self {
        Self { stream, last, activity, stall_max, framing, unsent: Bytes::new(), stalled: None }
    }

    /// A write that has to wait ends when the client has taken nothing for too long.
    fn in_time(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.activity.wrote(written.is_pending());
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall_max = self.stall_max;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall_max)));
        ready!(stalled.as_mut().poll(cx));
        // What it did not take goes with the connection: the kernel would keep it and ask the client for minutes.
        let _closes_in_order = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
        let what = format!("the client took nothing for {} ms", stall_max.as_millis());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)))
    }

    /// Writes what is left of an answer of ours; all of it goes before anything of the library's.
    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let polled = Pin::new(&mut self.stream).poll_write(cx, &self.unsent);
            let n = ready!(self.in_time(cx, polled))?;
            self.unsent.advance(n);
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether `bytes` are a refusal of the library, for which ours is written.
    fn replaces(&mut self, bytes: &[u8]) -> bool {
        let Some(answer) = unreadable::in_json(bytes).filter(|_| !self.activity.is_answering()) else {
            return false;
        };
        self.unsent = answer.into();
        true
    }

    fn note<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(_broken)) = &polled {
            self.last.broken();
        }
        polled
    }
}

impl AsyncRead for WatchedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let new = buffer.filled().get(before..).unwrap_or_default();
        if !new.is_empty() {
            self.activity.heard();
            self.framing.push(new);
        }
        self.note(polled)
    }
}

impl AsyncWrite for WatchedSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let unsent = self.poll_unsent(cx);
        ready!(self.note(unsent))?;
        if self.replaces(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        let polled = self.in_time(cx, polled);
        self.note(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let unsent = self.poll_unsent(cx);
        ready!(self.note(unsent))?;
        if let [only] = slices
            && self.replaces(only)
        {
            return Poll::Ready(Ok(only.len()));
        }
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        let polled = self.in_time(cx, polled);
        self.note(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let unsent = self.poll_unsent(cx);
        ready!(self.note(unsent))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let unsent = self.poll_unsent(cx);
        ready!(self.note(unsent))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

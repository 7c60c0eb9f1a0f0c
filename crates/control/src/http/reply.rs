//! The answer to a create on its way: watched until its last byte is written, and said to be lost where the connection
//! breaks before it was read.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::Extensions;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;

use crate::service::endpoints::{Reply, WrittenReply};

/// The answer, watched until its last byte is on its way.
pub(crate) fn watch(response: Response, reply: Reply, connection: Option<LastReply>) -> Response {
    response.map(|inner| Body::new(Watched { inner, reply, connection }))
}

/// The last answer on one connection that should not get lost. The listener puts one into the extensions of each
/// request of a connection and says when that breaks: what lay in its buffers then was not read.
#[derive(Clone, Debug, Default)]
pub struct LastReply(Arc<Mutex<Option<WrittenReply>>>);

impl LastReply {
    /// The connection was reset, or could not be written to.
    pub fn broken(&self) {
        if let Some(reply) = self.0.lock().take() {
            reply.lost();
        }
    }

    /// The next request is here, so the answer before it was read.
    pub(crate) fn was_read(extensions: &Extensions) {
        if let Some(it) = extensions.get::<Self>() {
            it.0.lock().take();
        }
    }
}

/// A body that says when it has been handed over whole.
struct Watched {
    inner: Body,
    reply: Reply,
    connection: Option<LastReply>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let it = self.get_mut();
        let frame = ready!(Pin::new(&mut it.inner).poll_frame(cx));
        if it.inner.is_end_stream() {
            let written = it.reply.written();
            if let Some(connection) = &it.connection {
                *connection.0.lock() = Some(written);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

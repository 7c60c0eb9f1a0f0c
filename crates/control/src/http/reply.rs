//! Whether the answer to a create got out. SDKs repeat a create whose answer was lost and send nothing that says
//! so; a second endpoint would hold hardware nobody knows of. So the same create by the same key, shortly after
//! one whose answer did not get out, is answered with the endpoint that is there.
//!
//! What is known here is how far this process got: an answer that a proxy swallowed counts as written.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use dedi_domain::{EndpointId, Timestamp};
use http::Extensions;
use http_body::{Frame, SizeHint};

/// The answers to creates of the last moments, as far as this process has them. One that is not here was lost:
/// cut off, or given by a process that has ended.
#[derive(Debug, Default)]
pub(crate) struct Replies(Mutex<HashMap<EndpointId, Fate>>);

#[derive(Clone, Copy, Debug)]
enum Fate {
    Pending,
    Written(Timestamp),
}

impl Replies {
    /// An answer is about to be made. It is lost if what this gives is dropped before the answer is written.
    pub(crate) fn begin(self: &Arc<Self>, endpoint: EndpointId, forget_before: Timestamp) -> Reply {
        let mut fates = self.fates();
        fates.retain(|_, it| !matches!(it, Fate::Written(at) if *at < forget_before));
        fates.insert(endpoint, Fate::Pending);
        Reply { replies: self.clone(), endpoint, is_written: false }
    }

    /// Whether the answer did not get out.
    pub(crate) fn is_lost(&self, endpoint: EndpointId) -> bool {
        !self.fates().contains_key(&endpoint)
    }

    fn fates(&self) -> MutexGuard<'_, HashMap<EndpointId, Fate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer under way.
#[derive(Debug)]
pub(crate) struct Reply {
    replies: Arc<Replies>,
    endpoint: EndpointId,
    is_written: bool,
}

impl Reply {
    /// The answer, watched until its last byte is on its way.
    pub(crate) fn watch(self, response: Response, connection: Option<LastReply>, now: Timestamp) -> Response {
        response.map(|inner| Body::new(Watched { inner, reply: self, connection, now }))
    }

    fn written(&mut self, connection: Option<&LastReply>, now: Timestamp) {
        self.is_written = true;
        self.replies.fates().insert(self.endpoint, Fate::Written(now));
        if let Some(connection) = connection {
            *connection.slot() = Some((self.replies.clone(), self.endpoint));
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.is_written {
            self.replies.fates().remove(&self.endpoint);
        }
    }
}

/// The last answer on one connection that should not get lost. The listener puts one into the extensions of each
/// request of a connection and says when that breaks: what lay in its buffers then was not read.
#[derive(Clone, Debug, Default)]
pub struct LastReply(Arc<Mutex<Slot>>);

type Slot = Option<(Arc<Replies>, EndpointId)>;

impl LastReply {
    /// The connection was reset, or could not be written to.
    pub fn broken(&self) {
        if let Some((replies, endpoint)) = self.slot().take() {
            replies.fates().remove(&endpoint);
        }
    }

    /// The next request is here, so the answer before it was read.
    pub(crate) fn was_read(extensions: &Extensions) {
        if let Some(it) = extensions.get::<Self>() {
            it.slot().take();
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that says when it has been handed over whole.
struct Watched {
    inner: Body,
    reply: Reply,
    connection: Option<LastReply>,
    now: Timestamp,
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
            it.reply.written(it.connection.as_ref(), it.now);
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

//! Whether the answer to a create got out. SDKs repeat a create whose answer was lost and send nothing that says
//! so; a second endpoint would hold hardware nobody knows of. So the same create by the same key, shortly after
//! one whose answer did not get out, is answered with the endpoint that is there.
//!
//! What is known here is how far this process got: an answer that a proxy swallowed counts as written.

use std::collections::HashMap;
use std::sync::Arc;

use dedi_domain::{EndpointId, Timestamp};
use parking_lot::Mutex;

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
    pub(super) fn begin(
        self: &Arc<Self>,
        endpoint: EndpointId,
        now: Timestamp,
        forget_before: Timestamp,
    ) -> Reply {
        let mut fates = self.0.lock();
        fates.retain(|_, it| !matches!(it, Fate::Written(at) if *at < forget_before));
        fates.insert(endpoint, Fate::Pending);
        Reply { replies: self.clone(), endpoint, began_at: now, is_written: false }
    }

    /// Whether the answer did not get out.
    pub(super) fn is_lost(&self, endpoint: EndpointId) -> bool {
        !self.0.lock().contains_key(&endpoint)
    }
}

/// An answer under way.
#[derive(Debug)]
pub(crate) struct Reply {
    replies: Arc<Replies>,
    endpoint: EndpointId,
    began_at: Timestamp,
    is_written: bool,
}

impl Reply {
    /// Its last byte is on its way. What this gives can still say that it was lost.
    pub(crate) fn written(&mut self) -> WrittenReply {
        self.is_written = true;
        self.replies.0.lock().insert(self.endpoint, Fate::Written(self.began_at));
        WrittenReply { replies: self.replies.clone(), endpoint: self.endpoint }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.is_written {
            self.replies.0.lock().remove(&self.endpoint);
        }
    }
}

/// An answer that was written, and may lie in a buffer that nobody reads.
#[derive(Debug)]
pub(crate) struct WrittenReply {
    replies: Arc<Replies>,
    endpoint: EndpointId,
}

impl WrittenReply {
    pub(crate) fn lost(self) {
        self.replies.0.lock().remove(&self.endpoint);
    }
}

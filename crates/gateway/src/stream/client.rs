//! The client's end of a stream: what it is sent, when its status is decided, and the comments that it gets
//! while nothing comes from the engine.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::body::BodyChunk;
use crate::config::ms;
use crate::core::Core;
use crate::error::ApiError;
use crate::record::Record;

/// A stream must have sent something by then, at least a keep-alive comment.
const FIRST_COMMENT_MS: u64 = 1_000;
const COMMENT: &[u8] = b": keep-alive\n\n";

/// Why a relay ended before the answer did.
pub(super) enum End {
    HungUp,
    Stalled,
    Failed(ApiError),
}

impl From<ApiError> for End {
    fn from(it: ApiError) -> Self {
        Self::Failed(it)
    }
}

/// The client of a relay.
pub(super) struct Client {
    core: Arc<Core>,
    pub(super) record: Record,
    chunks: mpsc::Sender<BodyChunk>,
    /// Until the status is decided.
    head: Option<oneshot::Sender<Result<(), ApiError>>>,
    alarm: Alarm,
}

impl Client {
    pub(super) fn new(
        core: Arc<Core>,
        record: Record,
        chunks: mpsc::Sender<BodyChunk>,
        head: oneshot::Sender<Result<(), ApiError>>,
    ) -> Self {
        let alarm = Alarm::new(Instant::now() + ms(FIRST_COMMENT_MS));
        Self { core, record, chunks, head: Some(head), alarm }
    }

    /// Another handle to the channel, by which to see it closed.
    pub(super) fn chunks(&self) -> mpsc::Sender<BodyChunk> {
        self.chunks.clone()
    }

    /// Polls `work` until it is ready, and lets the client know from time to time that we wait. `None` when that
    /// takes longer than `limit`.
    pub(super) async fn wait<T>(
        &mut self,
        limit: Duration,
        mut work: impl FnMut(&mut Self, &mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        let pause = ms(self.core.config.keep_alive_interval_ms);
        let began = Instant::now();
        let end = began + limit;
        let mut next_comment = None;
        poll_fn(move |cx| {
            if let Poll::Ready(done) = work(self, cx) {
                return Poll::Ready(Some(done));
            }
            // Seen after the work, which may send the first event.
            let first = if self.head.is_some() { ms(FIRST_COMMENT_MS) } else { pause };
            let comment = next_comment.get_or_insert(began + first);
            loop {
                let now = ready!(self.alarm.poll(end.min(*comment), cx));
                if now >= end {
                    return Poll::Ready(None);
                }
                // One that finds no room is not missed: the client has unread bytes.
                let _ = self.chunks.try_send(BodyChunk::More(Bytes::from_static(COMMENT)));
                *comment = now + pause;
            }
        })
        .await
    }

    /// Sends what is in `out`. False when there is no room for it now.
    pub(super) fn send_now(&mut self, out: &mut Vec<u8>) -> Result<bool, End> {
        if out.is_empty() {
            return Ok(true);
        }
        self.begins();
        match self.chunks.try_reserve() {
            Ok(room) => room.send(BodyChunk::More(std::mem::take(out).into())),
            Err(TrySendError::Full(())) => return Ok(false),
            Err(TrySendError::Closed(())) => return Err(End::HungUp),
        }
        Ok(true)
    }

    /// Sends what is in `out` as soon as there is room for it; with the last bytes the answer is whole.
    pub(super) async fn send(&mut self, out: &mut Vec<u8>, is_last: bool) -> Result<(), End> {
        if out.is_empty() {
            return Ok(());
        }
        self.begins();
        let bytes = std::mem::take(out).into();
        let sent = self.chunks.send(if is_last { BodyChunk::Last(bytes) } else { BodyChunk::More(bytes) });
        match timeout(ms(self.core.config.write_stall_timeout_ms), sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::HungUp),
            Err(_elapsed) => Err(End::Stalled),
        }
    }

    /// Reports why the response is incomplete: as the status, or, when that has been sent, as the last event.
    pub(super) async fn fail(&mut self, error: ApiError) {
        let unsent = match self.head.take() {
            Some(head) => head.send(Err(error)).err().and_then(Result::err),
            None => Some(error),
        };
        if let Some(error) = unsent {
            let cut = self.chunks.send(BodyChunk::Cut(error.event().into()));
            let _ = timeout(ms(self.core.config.write_stall_timeout_ms), cut).await;
        }
    }

    /// The first event goes to the client, so the status may be sent.
    fn begins(&mut self) {
        if let Some(head) = self.head.take() {
            self.record.first_token(self.core.clock.now());
            let _ = head.send(Ok(()));
        }
    }
}

/// One timer for all waits of a stream. Most waits end long before their deadline, and to set a timer for each
/// costs more than an event: it is set anew only when it rings too early.
struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    fn new(deadline: Instant) -> Self {
        Self(Box::pin(sleep_until(deadline)))
    }

    /// Ready from `deadline` on, with the time.
    fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<Instant> {
        if self.0.deadline() > deadline {
            self.0.as_mut().reset(deadline);
        }
        loop {
            ready!(self.0.as_mut().poll(cx));
            let now = Instant::now();
            if now >= deadline {
                return Poll::Ready(now);
            }
            self.0.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn alarm_rings_for_the_latest_deadline() {
        let began = Instant::now();
        let after = |millis| began + ms(millis);
        let mut alarm = Alarm::new(after(20));
        for deadline in [after(60), after(30), after(40), began] {
            assert!(poll_fn(|cx| alarm.poll(deadline, cx)).await >= deadline);
        }
        let mut late = Alarm::new(after(3_600_000));
        let rings = poll_fn(|cx| late.poll(after(100), cx));
        assert!(timeout(ms(20_000), rings).await.is_ok(), "not at the deadline that it was made for");
    }
}

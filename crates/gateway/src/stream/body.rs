//! The body of a streamed answer: a bounded channel with an explicit end. Without it the connection is
//! cut, so that a client can't mistake a part for the whole.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::time::Sleep;

/// Chunks queued for the client; each is at most `TOGETHER_BYTES` plus one rewritten read from the engine.
const CHUNKS_MAX: usize = 2;
/// How long the last event has to reach the socket before the connection is cut.
const CUT_DELAY: Duration = Duration::from_millis(50);

/// What travels to the client.
#[derive(Debug)]
pub(super) enum BodyChunk {
    /// More chunks follow.
    More(Bytes),
    /// The response is complete with these bytes.
    Last(Bytes),
    /// The response is incomplete: send these bytes, then cut the connection.
    Cut(Bytes),
}

/// The answer was not whole.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the answer is incomplete")]
pub(crate) struct Incomplete;

/// The body that the server sends: the channel's receiving end.
#[derive(Debug)]
pub(crate) struct StreamBody {
    chunks: mpsc::Receiver<BodyChunk>,
    state: State,
}

#[derive(Debug)]
enum State {
    Open,
    Ended,
    Cutting(Pin<Box<Sleep>>),
}

/// The relay's sender and the body it feeds.
pub(super) fn channel() -> (mpsc::Sender<BodyChunk>, StreamBody) {
    let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
    (sender, StreamBody { chunks, state: State::Open })
}

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = Incomplete;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Incomplete>>> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Ended => return Poll::Ready(None),
                State::Cutting(delay) => return delay.as_mut().poll(cx).map(|()| Some(Err(Incomplete))),
                State::Open => {}
            }
            match std::task::ready!(this.chunks.poll_recv(cx)) {
                Some(BodyChunk::More(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(BodyChunk::Last(bytes)) => {
                    this.state = State::Ended;
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                // An error right behind the bytes would be handled before they are flushed.
                Some(BodyChunk::Cut(bytes)) => {
                    this.state = State::Cutting(Box::pin(tokio::time::sleep(CUT_DELAY)));
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                None => this.state = State::Cutting(Box::pin(tokio::time::sleep(Duration::ZERO))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

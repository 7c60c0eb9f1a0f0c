//! The body of a streamed answer: a bounded channel whose proper end is said, not guessed. Without that end the
//! connection is cut, so that a client can't take a part for the whole.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::time::Sleep;

/// Pieces under way to the client; each is at most `TOGETHER_BYTES` and a read from the engine, rewritten.
const PIECES_MAX: usize = 2;
/// How long the last event has to reach the socket before the connection is cut.
const CUT_DELAY: Duration = Duration::from_millis(50);

/// What travels to the client.
#[derive(Debug)]
pub(super) enum Piece {
    /// More will come.
    Part(Bytes),
    /// The answer is whole with these.
    Last(Bytes),
    /// The answer is not whole: these, then cut.
    Cut(Bytes),
}

/// The answer was not whole.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the answer is incomplete")]
pub(crate) struct Incomplete;

/// The receiving end.
#[derive(Debug)]
pub(crate) struct StreamBody {
    pieces: mpsc::Receiver<Piece>,
    state: State,
}

#[derive(Debug)]
enum State {
    Open,
    Ended,
    Cutting(Pin<Box<Sleep>>),
}

/// Both ends.
pub(super) fn channel() -> (mpsc::Sender<Piece>, StreamBody) {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    (sender, StreamBody { pieces, state: State::Open })
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
            match std::task::ready!(this.pieces.poll_recv(cx)) {
                Some(Piece::Part(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Piece::Last(bytes)) => {
                    this.state = State::Ended;
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                // An error right behind the bytes would be met before they are flushed.
                Some(Piece::Cut(bytes)) => {
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

//! A streamed answer: one task relays from the replica to the client, with back-pressure, comments while nothing
//! comes, and an end for every wait. It stops at once when the client hangs up.

mod body;
pub(crate) mod dialect;
mod rewrite;
mod sse;
#[cfg(test)]
mod tests;
mod write;

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use self::body::Piece;
use self::rewrite::{Broken, Rewriter};
use crate::Core;
use crate::admission::InFlight;
use crate::attempt::{Accepted, Begun, begin, give_back, words};
use crate::config::ms;
use crate::http::error::ApiError;
use crate::metrics::{Ended, Record};
use crate::upstream::Exchange;

/// A stream must have said something by then, even if only that it is alive.
const FIRST_COMMENT_MS: u64 = 1_000;
/// Bytes to the client at which what came after them waits for its own turn.
const TOGETHER_BYTES: usize = 16 * 1024;
const COMMENT: &[u8] = b": keep-alive\n\n";

/// Begins the stream. An error that comes soon enough is the answer's status, a later one its last event.
pub(crate) async fn respond(
    core: Arc<Core>,
    accepted: Accepted,
    in_flight: InFlight,
    record: Record,
) -> Result<Response, ApiError> {
    let (pieces, body) = body::channel();
    let (head, mut began) = oneshot::channel();
    let id = accepted.id.clone();
    let relay = Relay { core: core.clone(), accepted, record, pieces, head: Some(head) };
    core.streams.spawn(relay.run(in_flight));
    match timeout(ms(core.config.stream_head_wait_ms), &mut began).await {
        Ok(Ok(result)) => result?,
        Ok(Err(_)) => return Err(ApiError::Internal),
        Err(_elapsed) => {
            began.close();
            if let Ok(result) = began.try_recv() {
                result?;
            }
        }
    }
    Ok(crate::http::response(StatusCode::OK, "text/event-stream", Body::new(body), &id))
}

struct Relay {
    core: Arc<Core>,
    accepted: Accepted,
    record: Record,
    pieces: mpsc::Sender<Piece>,
    /// Until the status is decided.
    head: Option<oneshot::Sender<Result<(), ApiError>>>,
}

/// Why a relay ended before the answer did.
enum End {
    HungUp,
    Stalled,
    Failed(ApiError),
}

impl From<ApiError> for End {
    fn from(it: ApiError) -> Self {
        Self::Failed(it)
    }
}

impl Relay {
    async fn run(mut self, in_flight: InFlight) {
        let core = self.core.clone();
        let client = self.pieces.clone();
        let limit = ms(core.config.total_timeout_ms);
        // Whatever ends the wait drops the relaying, and with it the connection to the engine.
        let done = tokio::select! {
            biased;
            () = client.closed() => Err(End::HungUp),
            () = core.kill.cancelled() => Err(End::Failed(ApiError::ShuttingDown)),
            done = timeout(limit, self.relay(in_flight)) => {
                done.unwrap_or(Err(End::Failed(ApiError::TotalTimeout { after: limit })))
            }
        };
        match done {
            Ok((in_flight, exchange)) => {
                self.record.end(Ended::Whole);
                give_back(&core, &in_flight, exchange).await;
            }
            Err(End::HungUp) => self.record.end(Ended::HungUp),
            Err(End::Stalled) => self.record.end(Ended::Stalled),
            Err(End::Failed(error)) => {
                self.record.end(Ended::Failed(&error));
                // Its receiver is gone when the status has been sent; then the error is an event.
                let unsent = match self.head.take() {
                    Some(head) => head.send(Err(error)).err().and_then(Result::err),
                    None => Some(error),
                };
                if let Some(error) = unsent {
                    let cut = self.pieces.send(Piece::Cut(error.event().into()));
                    let _ = timeout(ms(core.config.write_stall_timeout_ms), cut).await;
                }
            }
        }
    }

    /// Relays the whole answer; what it came by is left over.
    async fn relay(&mut self, in_flight: InFlight) -> Result<(InFlight, Exchange), End> {
        let core = self.core.clone();
        let Begun { in_flight, mut exchange, first } = {
            let begun = begin(&core, &self.accepted, in_flight);
            self.commenting(begun).await??
        };
        let blame = |broken: ApiError| {
            tracing::warn!(replica.id = %in_flight.replica().id, "a replica broke its stream: {broken}");
            core.blame(in_flight.replica());
            End::Failed(broken)
        };
        let created = core.clock.now().0.div_euclid(1_000);
        let mut rewriter = Rewriter::new(&self.accepted.id.to_string(), created, &self.accepted.job);
        let mut piece = first;
        loop {
            let mut out = Vec::with_capacity(piece.len() * 2);
            let mut pushed = rewriter.push(&piece, &mut out);
            // What has come already leaves together: a write to the client costs more than an event.
            let mut come = None;
            while pushed.is_ok() && !rewriter.is_done() && out.len() < TOGETHER_BYTES {
                match exchange.chunk_now().await {
                    Poll::Pending => break,
                    Poll::Ready(Some(Ok(bytes))) => pushed = rewriter.push(&bytes, &mut out),
                    Poll::Ready(end) => {
                        come = Some(end);
                        break;
                    }
                }
            }
            self.record.usage = rewriter.usage();
            if !out.is_empty() {
                self.record.first_token(core.clock.now());
                self.decide_status();
                let out = Bytes::from(out);
                let done = rewriter.is_done();
                self.send(if done { Piece::Last(out) } else { Piece::Part(out) }).await?;
            }
            pushed.map_err(|broken| {
                // A field that its engine does not know is no fault of the replica.
                if broken == Broken::NoEcho { End::Failed(no_echo()) } else { blame(explain(broken)) }
            })?;
            if rewriter.is_done() {
                break;
            }
            let idle = ms(core.config.idle_timeout_ms);
            let wait = in_flight.replica().wait();
            let next = match come {
                Some(end) => Ok(end),
                None => self.commenting(timeout(idle, exchange.chunk())).await?,
            };
            piece = match next {
                Err(_elapsed) => {
                    in_flight.replica().unanswered(wait);
                    return Err(blame(ApiError::IdleTimeout { after: idle }));
                }
                Ok(Some(Ok(bytes))) => {
                    in_flight.replica().heard();
                    bytes
                }
                Ok(Some(Err(_))) => {
                    return Err(blame(ApiError::failed("its connection broke; the answer is incomplete")));
                }
                Ok(None) => return Err(blame(explain(Broken::Unfinished))),
            };
        }
        Ok((in_flight, exchange))
    }

    /// Says that the status may be sent.
    fn decide_status(&mut self) {
        if let Some(head) = self.head.take() {
            let _ = head.send(Ok(()));
        }
    }

    /// Waits, and lets the client know from time to time that we do.
    async fn commenting<T>(&self, work: impl Future<Output = T>) -> Result<T, End> {
        let mut work = pin!(work);
        let mut next = Instant::now()
            + if self.head.is_some() {
                ms(FIRST_COMMENT_MS)
            } else {
                ms(self.core.config.keep_alive_interval_ms)
            };
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = sleep_until(next) => {
                    // One that finds no room is not missed: the client has unread bytes.
                    let _ = self.pieces.try_send(Piece::Part(Bytes::from_static(COMMENT)));
                    next = Instant::now() + ms(self.core.config.keep_alive_interval_ms);
                }
            }
        }
    }

    async fn send(&self, piece: Piece) -> Result<(), End> {
        match timeout(ms(self.core.config.write_stall_timeout_ms), self.pieces.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::HungUp),
            Err(_elapsed) => Err(End::Stalled),
        }
    }
}

/// The engine was asked for a chat's prompt and does not know how.
pub(crate) fn no_echo() -> ApiError {
    ApiError::field(
        "echo",
        "the engine of this endpoint does not tell the prompt of a chat; leave `echo` out, or use completions",
    )
}

fn explain(broken: Broken) -> ApiError {
    match broken {
        Broken::TooLong => ApiError::failed("it sent a line longer than the limit; the answer is incomplete"),
        Broken::Garbage => ApiError::failed("it sent what is not an answer; the answer is incomplete"),
        Broken::Unfinished => ApiError::failed("its stream ended too early; the answer is incomplete"),
        Broken::NoEcho => no_echo(),
        Broken::Engine(text) if text.is_empty() => ApiError::failed("it failed; the answer is incomplete"),
        Broken::Engine(text) => ApiError::failed(words(&text)),
    }
}

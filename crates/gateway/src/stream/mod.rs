//! A streamed answer: one task relays from the replica to the client, with back-pressure, comments while nothing
//! comes, and an end for every wait. It stops at once when the client hangs up.

mod body;
mod client;
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
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header;
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::client::{Client, End};
pub(crate) use self::rewrite::{Broken, Rewriter};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::sse::{Events, TooLong};
use crate::admission::InFlight;
use crate::attempt::{Accepted, Begun, begin, excerpt, give_back};
use crate::config::ms;
use crate::core::Core;
use crate::error::ApiError;
use crate::record::{Ended, Record};
use crate::upstream::Exchange;

/// Bytes that are sent to the client together at most; about a hundred events.
const TOGETHER_BYTES: usize = 16 * 1024;

/// Begins the stream. An error that comes soon enough is the answer's status, a later one its last event.
pub(crate) async fn respond(
    core: Arc<Core>,
    accepted: Accepted,
    in_flight: InFlight,
    record: Record,
) -> Result<Response, ApiError> {
    let (chunks, body) = body::channel();
    let (head, mut began) = oneshot::channel();
    let client = Client::new(core.clone(), record, chunks, head);
    let relay = Relay { core: core.clone(), accepted, client };
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
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], Body::new(body)).into_response())
}

struct Relay {
    core: Arc<Core>,
    accepted: Accepted,
    client: Client,
}

/// What a wait for the engine ended with.
enum Next {
    /// A chunk of its body, or the body's end.
    Body(Option<Result<Bytes, hyper::Error>>),
    /// The client has no room for what was rewritten before.
    Full,
}

impl Relay {
    async fn run(mut self, in_flight: InFlight) {
        let core = self.core.clone();
        let client = self.client.chunks();
        let limit = ms(core.config.total_timeout_ms);
        let key = self.accepted.key.clone();
        // Whatever ends the wait drops the relaying, and with it the connection to the engine.
        let done = tokio::select! {
            biased;
            () = client.closed() => Err(End::HungUp),
            () = core.fleet.key_ended(&key) => Err(End::Failed(ApiError::KeyEnded)),
            done = timeout(limit, self.relay(in_flight)) => {
                done.unwrap_or(Err(End::Failed(ApiError::TotalTimeout { after: limit })))
            }
        };
        match done {
            Ok((in_flight, exchange)) => {
                self.client.record.end(Ended::Whole);
                give_back(&core, &in_flight, exchange).await;
            }
            Err(End::HungUp) => self.client.record.end(Ended::HungUp),
            Err(End::Stalled) => self.client.record.end(Ended::Stalled),
            Err(End::Failed(error)) => {
                self.client.record.end(Ended::Failed(&error));
                self.client.fail(error).await;
            }
        }
    }

    /// Relays the whole answer; what it came by is left over.
    async fn relay(&mut self, in_flight: InFlight) -> Result<(InFlight, Exchange), End> {
        let core = self.core.clone();
        let limit = ms(core.config.total_timeout_ms);
        let Begun { in_flight, exchange, first } = {
            let mut begun = pin!(begin(&core, &self.accepted, in_flight));
            let begun = self.client.wait(limit, |_, cx| begun.as_mut().poll(cx)).await;
            begun.ok_or(ApiError::TotalTimeout { after: limit })??
        };
        let replica = in_flight.replica().clone();
        tokio::select! {
            biased;
            () = replica.ended() => {
                Err(End::Failed(core.ended(&replica).unwrap_or_else(|| ApiError::failed("it was ended"))))
            }
            done = self.pass_on(Begun { in_flight, exchange, first }) => done,
        }
    }

    /// The same from the answer's first bytes on.
    async fn pass_on(&mut self, begun: Begun) -> Result<(InFlight, Exchange), End> {
        let core = self.core.clone();
        let Begun { in_flight, mut exchange, first } = begun;
        let blame = |broken: ApiError| {
            if let Some(ended) = core.ended(in_flight.replica()) {
                return End::Failed(ended);
            }
            tracing::warn!(replica.id = %in_flight.replica().id, "a replica broke its stream: {broken}");
            core.blame(in_flight.replica());
            End::Failed(broken)
        };
        let idle = ms(core.config.idle_timeout_ms);
        let created = core.clock.wall().0.div_euclid(1_000);
        let mut rewriter = Rewriter::new(&self.accepted.id.to_string(), created, &self.accepted.job);
        let (mut chunk, mut out) = (first, Vec::new());
        loop {
            out.reserve(chunk.len() * 2);
            let pushed = rewriter.push(&chunk, &mut out);
            self.client.record.usage = rewriter.usage();
            let done = rewriter.is_done();
            if done || pushed.is_err() || out.len() >= TOGETHER_BYTES {
                self.client.send(&mut out, done).await?;
            }
            pushed.map_err(|broken| {
                // A field that its engine does not know is no fault of the replica.
                if broken == Broken::NoEcho {
                    End::Failed(ApiError::no_echo())
                } else {
                    blame(explain(broken))
                }
            })?;
            if done {
                break;
            }
            let wait = in_flight.replica().wait();
            let next = self.client.wait(idle, |client, cx| match exchange.poll_chunk(cx) {
                Poll::Ready(polled) => Poll::Ready(Ok(Next::Body(polled))),
                // What came together leaves together, when nothing more has come: a write to the client costs
                // more than an event.
                Poll::Pending => match client.send_now(&mut out) {
                    Ok(true) => Poll::Pending,
                    Ok(false) => Poll::Ready(Ok(Next::Full)),
                    Err(end) => Poll::Ready(Err(end)),
                },
            });
            let broken = match next.await.transpose()? {
                Some(Next::Body(Some(Ok(bytes)))) => {
                    in_flight.replica().received();
                    chunk = bytes;
                    continue;
                }
                Some(Next::Full) => {
                    self.client.send(&mut out, false).await?;
                    chunk = Bytes::new();
                    continue;
                }
                None => {
                    in_flight.replica().unanswered(wait);
                    ApiError::IdleTimeout { after: idle }
                }
                Some(Next::Body(Some(Err(_)))) => {
                    ApiError::failed("its connection broke; the answer is incomplete")
                }
                Some(Next::Body(None)) => explain(Broken::Unfinished),
            };
            self.client.send(&mut out, false).await?;
            if core.ended(in_flight.replica()).is_none() {
                core.broke_begun(&self.accepted.suspect(), in_flight.replica()).await;
            }
            return Err(blame(broken));
        }
        Ok((in_flight, exchange))
    }
}

fn explain(broken: Broken) -> ApiError {
    match broken {
        Broken::TooLong => ApiError::failed("it sent a line longer than the limit; the answer is incomplete"),
        Broken::Garbage => ApiError::failed("it sent what is not an answer; the answer is incomplete"),
        Broken::Unfinished => ApiError::failed("its stream ended too early; the answer is incomplete"),
        Broken::NoEcho => ApiError::no_echo(),
        Broken::Engine(text) if text.is_empty() => ApiError::failed("it failed; the answer is incomplete"),
        Broken::Engine(text) => ApiError::failed(excerpt(&text)),
    }
}

//! The body of a streamed answer.
//!
//! Each sampled token is one server-sent event; all tokens that are there when the connection is free are written
//! at once. The body ends right after `[DONE]`. A failure in mid-stream is an event with an `error`, and then the
//! connection is dropped, so that no client takes a part for the whole.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dedi_api::engine::{TextLogprobs, Usage};
use http::header;
use http_body::Frame;

use crate::worker::{Event, TokenEvent};

use super::error::ApiError;
use super::generate::{Accepted, Echo, FORMAT, sentence};
use super::state::Ready;

const TOKENS_AT_ONCE: usize = 64;

/// How one kind of answer writes its events.
pub(super) trait Dialect: Send + Unpin + 'static {
    /// Takes the prompt that the answer repeats; before everything else, if at all.
    fn echo(&mut self, echo: Echo, logprobs: Option<TextLogprobs>);
    /// The first event of a reply.
    fn begin(&mut self, head: &Head, choice: u32, out: &mut Vec<u8>);
    /// A token's events; the last one's include the reply's end.
    fn token(&mut self, head: &Head, ready: &Ready, token: TokenEvent, out: &mut Vec<u8>);
    /// The event with the token counts.
    fn usage(&mut self, head: &Head, usage: Usage, out: &mut Vec<u8>);
}

/// What all events of an answer repeat.
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: i64,
    pub(super) model: String,
}

/// Writes one event.
pub(super) fn event(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    out.extend_from_slice(b"data: ");
    // Our own types always serialise, and a Vec takes every byte.
    let _infallible = serde_json::to_writer(&mut *out, value);
    out.extend_from_slice(b"\n\n");
}

/// The answer, once its first token is there: what fails before that is an error with a status.
pub(super) async fn stream<D: Dialect>(mut accepted: Accepted, mut dialect: D) -> Result<Response, ApiError> {
    let first = loop {
        match accepted.events.recv().await {
            Some(Event::Prompt(all)) => accepted.prompt_logprobs = all,
            Some(Event::Token(token)) => break token,
            Some(Event::Unfit(why)) => return Err(ApiError::unfit(FORMAT, &why)),
            Some(Event::Failed(why)) => return Err(ApiError::Internal(sentence(&why))),
            None => return Err(ApiError::Internal("The engine stopped before the reply began.".to_owned())),
        }
    };
    let logprobs = accepted.echoed_logprobs();
    if let Some(echo) = accepted.echo.take() {
        dialect.echo(echo, logprobs);
    }
    let head = Head {
        id: accepted.id.clone(),
        created: accepted.created,
        model: std::mem::take(&mut accepted.model),
    };
    let mut replies = Replies {
        head,
        dialect,
        left: accepted.choices,
        generated: 0,
        arrived: VecDeque::from([Event::Token(first)]),
        batch: Vec::with_capacity(TOKENS_AT_ONCE),
        out: Vec::with_capacity(1024),
        phase: Phase::Tokens,
        accepted,
    };
    for choice in 0..replies.left {
        replies.dialect.begin(&replies.head, choice, &mut replies.out);
    }
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, Body::new(replies)).into_response())
}

struct Replies<D> {
    accepted: Accepted,
    head: Head,
    dialect: D,
    left: u32,
    generated: u32,
    arrived: VecDeque<Event>,
    batch: Vec<Event>,
    out: Vec<u8>,
    phase: Phase,
}

#[derive(Clone, Copy)]
enum Phase {
    Tokens,
    /// The error was sent; now the connection is dropped.
    Broken,
    Ended,
}

impl<D: Dialect> http_body::Body for Replies<D> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        match this.phase {
            Phase::Tokens => {}
            Phase::Broken => {
                this.phase = Phase::Ended;
                return Poll::Ready(Some(Err(io::Error::other("the reply was not finished"))));
            }
            Phase::Ended => return Poll::Ready(None),
        }
        // Whatever has arrived goes into one frame, which is one write.
        let arrived = this.accepted.events.poll_recv_many(context, &mut this.batch, TOKENS_AT_ONCE);
        this.arrived.extend(this.batch.drain(..));
        match arrived {
            Poll::Pending if this.arrived.is_empty() => return Poll::Pending,
            Poll::Ready(0) if this.arrived.is_empty() => {
                this.arrived.push_back(Event::Failed("the engine stopped before the reply ended".to_owned()));
            }
            Poll::Pending | Poll::Ready(_) => {}
        }
        while let Some(event) = this.arrived.pop_front() {
            this.write(event);
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(std::mem::take(&mut this.out))))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }
}

impl<D: Dialect> Replies<D> {
    fn fail(&mut self, error: &ApiError) {
        self::event(&mut self.out, &error.body());
        self.phase = Phase::Broken;
    }

    fn write(&mut self, event: Event) {
        match (self.phase, event) {
            (Phase::Tokens, Event::Token(token)) => {
                self.generated += 1;
                self.left -= u32::from(token.finish.is_some());
                if let Some(ready) = self.accepted.state.ready.get() {
                    self.dialect.token(&self.head, ready, token, &mut self.out);
                }
                if self.left == 0 {
                    if self.accepted.include_usage {
                        let usage = Usage::new(self.accepted.prompt_tokens, self.generated);
                        self.dialect.usage(&self.head, usage, &mut self.out);
                    }
                    self.out.extend_from_slice(b"data: [DONE]\n\n");
                    self.phase = Phase::Ended;
                }
            }
            (Phase::Tokens, Event::Unfit(why)) => self.fail(&ApiError::unfit(FORMAT, &why)),
            (Phase::Tokens, Event::Failed(why)) => self.fail(&ApiError::Internal(sentence(&why))),
            // The prompt comes before the first token, and so before this began.
            (Phase::Tokens, Event::Prompt(_)) | (Phase::Broken | Phase::Ended, _) => {}
        }
    }
}

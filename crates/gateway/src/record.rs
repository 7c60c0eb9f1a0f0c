//! What is known of one request: counted once and logged in one line, without prompts, responses or keys.

use std::sync::Arc;
use std::time::Duration;

use dedi_api::inference::Usage;
use dedi_domain::{Clock, EndpointId, KeyId, Timestamp};
use dedi_http::RequestId;

use crate::admission::Endpoint;
use crate::error::ApiError;
use crate::metrics::Outcome;
use crate::request::Kind;

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ended<'a> {
    Whole,
    HungUp,
    Stalled,
    Failed(&'a ApiError),
}

/// What is known of one request; written down once, when it ends or is dropped.
#[derive(Debug)]
pub(crate) struct Record {
    counters: Arc<Endpoint>,
    clock: Clock,
    id: RequestId,
    endpoint: EndpointId,
    key: KeyId,
    kind: Kind,
    started: Timestamp,
    first_token_ms: Option<u64>,
    written: bool,
    pub(crate) usage: Option<Usage>,
}

impl Record {
    pub(crate) fn new(
        counters: Arc<Endpoint>,
        clock: Clock,
        id: RequestId,
        endpoint: EndpointId,
        key: KeyId,
        kind: Kind,
    ) -> Self {
        let started = clock.now();
        Self {
            counters,
            clock,
            id,
            endpoint,
            key,
            kind,
            started,
            first_token_ms: None,
            written: false,
            usage: None,
        }
    }

    /// The first event goes to the client.
    pub(crate) fn first_token(&mut self, now: Timestamp) {
        if self.first_token_ms.is_none() {
            let after = now.since(self.started);
            self.counters.metrics.first_token(after);
            self.first_token_ms = Some(millis(after));
        }
    }

    pub(crate) fn end(&mut self, how: Ended<'_>) {
        if std::mem::replace(&mut self.written, true) {
            return;
        }
        let (outcome, ending, code) = match how {
            Ended::Whole => (Outcome::Completed, "was answered", None),
            Ended::HungUp => (Outcome::Cancelled, "was left by its client", None),
            Ended::Stalled => (Outcome::Stalled, "was cut: its client read nothing", None),
            Ended::Failed(error) if error.status().is_client_error() => {
                (Outcome::Refused, "was refused", Some(error.status().as_u16()))
            }
            Ended::Failed(error) => (Outcome::Failed, "failed", Some(error.status().as_u16())),
        };
        let usage = self.usage.unwrap_or_default();
        let took = self.clock.now().since(self.started);
        self.counters.metrics.ended(outcome, took, usage.prompt_tokens, usage.completion_tokens);
        tracing::info!(
            request.id = %self.id,
            endpoint.id = %self.endpoint,
            key.id = %self.key,
            path = self.kind.path(),
            prompt_tokens = usage.prompt_tokens,
            completion_tokens = usage.completion_tokens,
            first_token_ms = self.first_token_ms,
            total_ms = millis(took),
            status = code,
            "a request to {} {ending}",
            self.endpoint
        );
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Drop for Record {
    fn drop(&mut self) {
        self.end(Ended::HungUp);
    }
}

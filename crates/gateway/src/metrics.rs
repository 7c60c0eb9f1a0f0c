//! What is counted, and the one line that is logged for each request: no prompts, no answers, no keys.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dedi_api::inference::Usage;
use dedi_domain::{EndpointId, KeyId, Timestamp};

use crate::Clock;
use crate::http::RequestId;
use crate::http::error::ApiError;
use crate::request::Kind;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the buckets of time to first token, in milliseconds.
const BUCKETS_MS: [u64; 10] = [10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 15_000, 60_000];

/// All counters of the gateway.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    whole: Counter,
    hung_up: Counter,
    stalled: Counter,
    refused: Counter,
    failed: Counter,
    prompt_tokens: Counter,
    completion_tokens: Counter,
    ttft_buckets: [Counter; BUCKETS_MS.len()],
    ttft_count: Counter,
    ttft_sum_ms: Counter,
    pub(crate) retries: Counter,
    pub(crate) ejections: Counter,
    pub(crate) replica_failures: Counter,
}

impl Metrics {
    /// The Prometheus text format, with the two gauges that are kept elsewhere.
    pub(crate) fn text(&self, in_flight: u64, waiting: u64) -> String {
        let mut out = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
            let _ = writeln!(out, "# HELP dedi_gateway_{name} {help}\n# TYPE dedi_gateway_{name} {kind}");
            for (labels, value) in samples {
                let _ = writeln!(out, "dedi_gateway_{name}{labels} {value}");
            }
        };
        let one = |counter: &Counter| [(String::new(), counter.get())];
        let outcomes = [
            ("whole", &self.whole),
            ("hung_up", &self.hung_up),
            ("stalled", &self.stalled),
            ("refused", &self.refused),
            ("failed", &self.failed),
        ];
        let outcomes = outcomes.map(|(name, counter)| (format!("{{outcome=\"{name}\"}}"), counter.get()));
        family("requests_total", "counter", "Requests by how they ended.", &outcomes);
        family("prompt_tokens_total", "counter", "Tokens read.", &one(&self.prompt_tokens));
        family("completion_tokens_total", "counter", "Tokens written.", &one(&self.completion_tokens));
        family("retries_total", "counter", "Requests sent to a second replica.", &one(&self.retries));
        family(
            "replica_failures_total",
            "counter",
            "Answers that a replica failed to give.",
            &one(&self.replica_failures),
        );
        family(
            "ejections_total",
            "counter",
            "Times a replica was avoided for failing.",
            &one(&self.ejections),
        );
        family("in_flight", "gauge", "Requests on replicas.", &[(String::new(), in_flight)]);
        family("waiting", "gauge", "Requests held until a replica is ready.", &[(String::new(), waiting)]);
        let mut buckets = Vec::new();
        for (bound, counter) in BUCKETS_MS.iter().zip(&self.ttft_buckets) {
            buckets.push((format!("_bucket{{le=\"{bound}\"}}"), counter.get()));
        }
        buckets.push(("_bucket{le=\"+Inf\"}".to_owned(), self.ttft_count.get()));
        buckets.push(("_sum".to_owned(), self.ttft_sum_ms.get()));
        buckets.push(("_count".to_owned(), self.ttft_count.get()));
        family("first_token_ms", "histogram", "Time to the first event of a stream.", &buckets);
        out
    }

    fn first_token(&self, millis: u64) {
        self.ttft_count.add(1);
        self.ttft_sum_ms.add(millis);
        for (bound, counter) in BUCKETS_MS.iter().zip(&self.ttft_buckets) {
            counter.add(u64::from(millis <= *bound));
        }
    }
}

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
    metrics: Arc<Metrics>,
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
        metrics: Arc<Metrics>,
        clock: Clock,
        id: RequestId,
        endpoint: EndpointId,
        key: KeyId,
        kind: Kind,
    ) -> Self {
        let started = clock.now();
        Self {
            metrics,
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
            let millis = self.millis(now);
            self.metrics.first_token(millis);
            self.first_token_ms = Some(millis);
        }
    }

    pub(crate) fn end(&mut self, how: Ended<'_>) {
        if std::mem::replace(&mut self.written, true) {
            return;
        }
        let (counter, outcome, code) = match how {
            Ended::Whole => (&self.metrics.whole, "was answered", None),
            Ended::HungUp => (&self.metrics.hung_up, "was left by its client", None),
            Ended::Stalled => (&self.metrics.stalled, "was cut: its client read nothing", None),
            Ended::Failed(error) if error.status().is_client_error() => {
                (&self.metrics.refused, "was refused", Some(error.status().as_u16()))
            }
            Ended::Failed(error) => (&self.metrics.failed, "failed", Some(error.status().as_u16())),
        };
        counter.add(1);
        let usage = self.usage.unwrap_or_default();
        self.metrics.prompt_tokens.add(usage.prompt_tokens);
        self.metrics.completion_tokens.add(usage.completion_tokens);
        tracing::info!(
            request.id = %self.id,
            endpoint.id = %self.endpoint,
            key.id = %self.key,
            path = self.kind.path(),
            prompt_tokens = usage.prompt_tokens,
            completion_tokens = usage.completion_tokens,
            first_token_ms = self.first_token_ms,
            total_ms = self.millis(self.clock.now()),
            status = code,
            "a request to {} {outcome}",
            self.endpoint
        );
    }

    fn millis(&self, now: Timestamp) -> u64 {
        u64::try_from(now.since(self.started).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.end(Ended::HungUp);
    }
}

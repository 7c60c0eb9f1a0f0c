//! What the gateway counts, in Prometheus' base units and under names that other servers of models use.
//!
//! What is counted for an endpoint has its id as label, and goes when the table no longer has the endpoint: there are
//! never more series than endpoints allow. Requests hold the counters themselves, so one that ends after its endpoint
//! brings none back.

use std::fmt::{self, Write};
use std::time::Duration;

use dedi_domain::EndpointId;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// How a request ended; a label, so its values are few.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    /// Answered completely.
    Completed,
    /// The client hung up.
    Cancelled,
    /// Its client took nothing for too long.
    Stalled,
    /// At fault itself, by its status.
    Refused,
    /// Not answered, or not to the end.
    Failed,
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Stalled => "stalled",
            Self::Refused => "refused",
            Self::Failed => "failed",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Id(EndpointId);

impl EncodeLabelValue for Id {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        write!(encoder, "{}", self.0)
    }
}

/// The label of all that is counted for an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfEndpoint {
    endpoint: Id,
}

impl OfEndpoint {
    pub(crate) fn new(endpoint: EndpointId) -> Self {
        Self { endpoint: Id(endpoint) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    endpoint: Id,
    outcome: Outcome,
}

type Histograms = Family<OfEndpoint, Histogram, fn() -> Histogram>;

/// From 10 ms to 164 s, each bucket twice the one before, as OpenTelemetry's convention for generative models has it.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 15))
}

/// Everything the gateway counts. What is on replicas now is not counted but looked up, see `gauges`.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Family<Ended, Counter>,
    prompt_tokens: Family<OfEndpoint, Counter>,
    generation_tokens: Family<OfEndpoint, Counter>,
    time_to_first_token: Histograms,
    request_duration: Histograms,
    pub(crate) retries: Counter,
    pub(crate) ejections: Counter,
    pub(crate) replica_failures: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let histograms = || Histograms::new_with_constructor(seconds);
        Self {
            requests: Family::default(),
            prompt_tokens: Family::default(),
            generation_tokens: Family::default(),
            time_to_first_token: histograms(),
            request_duration: histograms(),
            retries: Counter::default(),
            ejections: Counter::default(),
            replica_failures: Counter::default(),
        }
    }
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("requests", "Requests by how they ended", self.requests.clone());
        registry.register("prompt_tokens", "Tokens of prompts", self.prompt_tokens.clone());
        registry.register("generation_tokens", "Tokens of replies", self.generation_tokens.clone());
        registry.register_with_unit(
            "time_to_first_token",
            "From a request to the first event of its stream",
            Unit::Seconds,
            self.time_to_first_token.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "From a request to the end of its answer, however it ended",
            Unit::Seconds,
            self.request_duration.clone(),
        );
        registry.register("retries", "Requests sent to a second replica", self.retries.clone());
        registry.register(
            "replica_failures",
            "Answers that a replica failed to give",
            self.replica_failures.clone(),
        );
        registry.register("ejections", "Times a replica was avoided for failing", self.ejections.clone());
    }

    /// The counters of one endpoint, for all its requests.
    pub(crate) fn of(&self, endpoint: EndpointId) -> EndpointMetrics {
        let of = OfEndpoint::new(endpoint);
        let ended = |outcome| self.requests.get_or_create_owned(&Ended { endpoint: of.endpoint, outcome });
        EndpointMetrics {
            completed: ended(Outcome::Completed),
            cancelled: ended(Outcome::Cancelled),
            stalled: ended(Outcome::Stalled),
            refused: ended(Outcome::Refused),
            failed: ended(Outcome::Failed),
            prompt_tokens: self.prompt_tokens.get_or_create_owned(&of),
            generation_tokens: self.generation_tokens.get_or_create_owned(&of),
            time_to_first_token: self.time_to_first_token.get_or_create_owned(&of),
            request_duration: self.request_duration.get_or_create_owned(&of),
        }
    }

    /// Drops the endpoint's series.
    pub(crate) fn forget(&self, endpoint: EndpointId) {
        let of = OfEndpoint::new(endpoint);
        let outcomes =
            [Outcome::Completed, Outcome::Cancelled, Outcome::Stalled, Outcome::Refused, Outcome::Failed];
        for outcome in outcomes {
            self.requests.remove(&Ended { endpoint: of.endpoint, outcome });
        }
        self.prompt_tokens.remove(&of);
        self.generation_tokens.remove(&of);
        self.time_to_first_token.remove(&of);
        self.request_duration.remove(&of);
    }
}

/// The counters of one endpoint.
#[derive(Debug)]
pub(crate) struct EndpointMetrics {
    completed: Counter,
    cancelled: Counter,
    stalled: Counter,
    refused: Counter,
    failed: Counter,
    prompt_tokens: Counter,
    generation_tokens: Counter,
    time_to_first_token: Histogram,
    request_duration: Histogram,
}

/// Counters that no registry exports.
impl Default for EndpointMetrics {
    fn default() -> Self {
        Self {
            completed: Counter::default(),
            cancelled: Counter::default(),
            stalled: Counter::default(),
            refused: Counter::default(),
            failed: Counter::default(),
            prompt_tokens: Counter::default(),
            generation_tokens: Counter::default(),
            time_to_first_token: seconds(),
            request_duration: seconds(),
        }
    }
}

impl EndpointMetrics {
    pub(crate) fn first_token(&self, after: Duration) {
        self.time_to_first_token.observe(after.as_secs_f64());
    }

    pub(crate) fn ended(
        &self,
        outcome: Outcome,
        after: Duration,
        prompt_tokens: u64,
        generation_tokens: u64,
    ) {
        let counter = match outcome {
            Outcome::Completed => &self.completed,
            Outcome::Cancelled => &self.cancelled,
            Outcome::Stalled => &self.stalled,
            Outcome::Refused => &self.refused,
            Outcome::Failed => &self.failed,
        };
        counter.inc();
        self.request_duration.observe(after.as_secs_f64());
        self.prompt_tokens.inc_by(prompt_tokens);
        self.generation_tokens.inc_by(generation_tokens);
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::prometheus_text::encode;
    use uuid::Uuid;

    use super::*;

    fn text(metrics: &Metrics) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn metrics_of_an_endpoint_are_in_base_units_and_go_with_it() {
        let metrics = Metrics::default();
        let ids = [1, 2].map(|it| EndpointId::from_uuid(Uuid::from_u128(it)));
        let [one, two] = ids.map(|it| metrics.of(it));
        one.first_token(Duration::from_millis(30));
        one.ended(Outcome::Completed, Duration::from_millis(1_500), 7, 5);
        two.ended(Outcome::Failed, Duration::from_secs(1), 0, 0);
        let scraped = text(&metrics);
        let of = |endpoint: EndpointId| format!("endpoint=\"{endpoint}\"");
        for line in [
            format!("requests_total{{{},outcome=\"completed\"}} 1", of(ids[0])),
            format!("requests_total{{{},outcome=\"cancelled\"}} 0", of(ids[0])),
            format!("prompt_tokens_total{{{}}} 7", of(ids[0])),
            format!("generation_tokens_total{{{}}} 5", of(ids[0])),
            format!("time_to_first_token_seconds_sum{{{}}} 0.03", of(ids[0])),
            format!("time_to_first_token_seconds_bucket{{{},le=\"0.02\"}} 0", of(ids[0])),
            format!("time_to_first_token_seconds_bucket{{{},le=\"0.04\"}} 1", of(ids[0])),
            format!("request_duration_seconds_sum{{{}}} 1.5", of(ids[0])),
        ] {
            assert!(scraped.lines().any(|it| it == line), "{line} in {scraped}");
        }
        metrics.forget(ids[0]);
        // A request that ends later brings nothing back.
        one.ended(Outcome::Cancelled, Duration::from_secs(1), 1, 1);
        let scraped = text(&metrics);
        assert!(!scraped.contains(&of(ids[0])) && scraped.contains(&of(ids[1])), "{scraped}");
    }
}

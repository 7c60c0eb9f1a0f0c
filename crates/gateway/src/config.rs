//! Every number of the data plane, with its reason.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Limits and waits of the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// Bytes of a request body.
    pub body_bytes_max: usize,
    /// Longest pause while a request body arrives.
    pub body_idle_timeout_ms: u64,
    /// Longest time for a whole request body.
    pub body_timeout_ms: u64,
    /// Requests of one endpoint that are running or waiting; more are answered 429.
    pub requests_per_endpoint_max: u32,
    /// Bytes of request bodies that one endpoint holds; more are answered 429.
    pub bytes_per_endpoint_max: u64,
    /// Bytes of request bodies in all; more are answered 429.
    pub bytes_max: u64,
    /// How long a request waits for an endpoint that sleeps at zero replicas.
    pub cold_start_wait_ms: u64,
    /// How long a request waits for an endpoint that has lost its last replica a moment ago.
    pub ready_wait_ms: u64,
    /// Longest time to connect to a replica.
    pub connect_timeout_ms: u64,
    /// Longest time from the request to the first byte of a replica's answer.
    pub first_byte_timeout_ms: u64,
    /// Longest pause inside a replica's answer.
    pub idle_timeout_ms: u64,
    /// Longest answer.
    pub total_timeout_ms: u64,
    /// How long a stream's status may wait for the first event. Until then an error is an HTTP status;
    /// afterwards it is an event.
    pub stream_head_wait_ms: u64,
    /// Pause after which a stream's client gets a comment, so that it does not give up.
    pub keep_alive_interval_ms: u64,
    /// How long a client may take nothing before it is cut.
    pub write_stall_timeout_ms: u64,
    /// Bytes of an answer that is not a stream.
    pub response_bytes_max: usize,
    /// Retries, as a share of requests.
    pub retry_percent: u32,
    /// Retries per second that are always allowed.
    pub retries_per_sec: u32,
    /// Failures in a row after which a replica gets no requests for a while, unless it is the last.
    pub ejection_failures: u32,
    /// The first such while; the n-th in a row is n times as long.
    pub ejection_ms: u64,
    /// Idle connections kept for each replica.
    pub idle_connections_per_replica_max: usize,
    /// How long one is kept.
    pub idle_connection_ms: u64,
    /// Wrong keys from one address in a minute before they are answered 429, here and on management routes. A
    /// valid key never is.
    pub key_failures_per_minute_max: u32,
    /// The same from all addresses together.
    pub key_failures_per_minute_all_max: u32,
    /// Longest time between two load reports.
    pub report_interval_ms: u64,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            body_bytes_max: 8 << 20, // a million tokens of text, or so
            body_idle_timeout_ms: 30_000,
            body_timeout_ms: 120_000,
            requests_per_endpoint_max: 1_000, // beyond this a client waits longer than it is willing to
            bytes_per_endpoint_max: 64 << 20,
            bytes_max: 512 << 20,
            cold_start_wait_ms: 50_000, // the SDKs give up at 60 s and would lose the explanation
            ready_wait_ms: 5_000,       // a replica that is being replaced, not one that is being loaded
            connect_timeout_ms: 5_000,  // it is on this machine or next to it
            first_byte_timeout_ms: 300_000, // a long prompt on a CPU
            idle_timeout_ms: 60_000,
            total_timeout_ms: 3_600_000,
            stream_head_wait_ms: 5_000,
            keep_alive_interval_ms: 15_000, // proxies and SDKs cut silent connections from 30 s on
            write_stall_timeout_ms: 60_000,
            response_bytes_max: 32 << 20, // log probabilities of a long answer
            retry_percent: 20,
            retries_per_sec: 10,
            ejection_failures: 5,
            ejection_ms: 10_000,
            idle_connections_per_replica_max: 64,
            idle_connection_ms: 30_000, // engines close idle connections themselves, some after 60 s
            key_failures_per_minute_max: 10,
            key_failures_per_minute_all_max: 1_000, // a hundred people who mistype, or one botnet
            report_interval_ms: 250,
        }
    }
}

/// A `_ms` number as a duration.
pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

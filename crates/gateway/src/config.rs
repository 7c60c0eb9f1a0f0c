//! Every number of the data plane, with its reason.

use std::time::Duration;

use dedi_domain::{Setting, check_settings};
use serde::{Deserialize, Serialize};

/// Limits and timeouts of the gateway. [`GatewayConfig::numbers`] has the allowed range of each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, documented::DocumentedFields)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// Bytes of a request body.
    pub body_bytes_max: usize,
    /// Longest pause while a request body arrives.
    pub body_idle_timeout_ms: u64,
    /// Longest time for a whole request body.
    pub body_timeout_ms: u64,
    /// Bytes a second that a request body must come with on average, once ten seconds have passed; 0 for any pace.
    pub body_bytes_per_sec_min: u32,
    /// Requests of one endpoint that are running or waiting, each counted as often as it asks for choices (`n`);
    /// more are answered 429.
    pub requests_per_endpoint_max: u32,
    /// Bytes of request bodies that one endpoint holds; more are answered 429.
    pub bytes_per_endpoint_max: u64,
    /// Bytes of request bodies in all; more are answered 429.
    pub bytes_max: u64,
    /// How long a request waits for an endpoint whose replica is on its way: asleep at zero replicas, starting, or
    /// being replaced.
    pub cold_start_wait_ms: u64,
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
            body_bytes_per_sec_min: 1_024, // the slowest line in use is ten times as fast
            requests_per_endpoint_max: 1_000, // beyond this a client waits longer than it is willing to
            bytes_per_endpoint_max: 64 << 20,
            bytes_max: 512 << 20,
            cold_start_wait_ms: 50_000, // the SDKs give up at 60 s and would lose the explanation
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

// In milliseconds.
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

impl GatewayConfig {
    /// Checks ranges and relations between values; types are checked before.
    ///
    /// # Errors
    ///
    /// A sentence that names the field and what it must be.
    pub fn check(&self) -> Result<(), String> {
        check_settings("gateway", &self.numbers(), &Self::default().numbers())?;
        let body = self.body_bytes_max as u64;
        let kept = [("bytes_per_endpoint_max", self.bytes_per_endpoint_max), ("bytes_max", self.bytes_max)];
        match kept.into_iter().find(|(_, bytes)| *bytes < body) {
            Some((key, bytes)) => Err(format!(
                "gateway.{key} must be at least gateway.body_bytes_max, {body}, or no request of that size is ever taken; got {bytes}"
            )),
            None => Ok(()),
        }
    }

    /// What each number may be. The upper ends are far beyond real use: a number above one is a slip of the hand.
    pub fn numbers(&self) -> [Setting; 25] {
        let of = u64::from;
        [
            // From a short chat; more than a GiB is no text.
            ("body_bytes_max", self.body_bytes_max as u64, 1 << 10..=1 << 30),
            ("body_idle_timeout_ms", self.body_idle_timeout_ms, 10..=HOUR),
            ("body_timeout_ms", self.body_timeout_ms, 10..=DAY),
            ("body_bytes_per_sec_min", of(self.body_bytes_per_sec_min), 0..=1 << 30),
            ("requests_per_endpoint_max", of(self.requests_per_endpoint_max), 1..=1_000_000),
            ("bytes_per_endpoint_max", self.bytes_per_endpoint_max, 1 << 10..=1 << 40),
            ("bytes_max", self.bytes_max, 1 << 10..=1 << 40),
            // 0 does not wait.
            ("cold_start_wait_ms", self.cold_start_wait_ms, 0..=DAY),
            ("connect_timeout_ms", self.connect_timeout_ms, 10..=HOUR),
            ("first_byte_timeout_ms", self.first_byte_timeout_ms, 10..=DAY),
            ("idle_timeout_ms", self.idle_timeout_ms, 10..=DAY),
            ("total_timeout_ms", self.total_timeout_ms, 10..=7 * DAY),
            ("stream_head_wait_ms", self.stream_head_wait_ms, 0..=HOUR),
            // Comments without a pause would keep a core busy.
            ("keep_alive_interval_ms", self.keep_alive_interval_ms, 100..=HOUR),
            ("write_stall_timeout_ms", self.write_stall_timeout_ms, 100..=DAY),
            ("response_bytes_max", self.response_bytes_max as u64, 1 << 10..=1 << 30),
            ("retry_percent", of(self.retry_percent), 0..=100),
            ("retries_per_sec", of(self.retries_per_sec), 0..=1_000_000),
            ("ejection_failures", of(self.ejection_failures), 1..=1_000_000),
            ("ejection_ms", self.ejection_ms, 0..=HOUR),
            ("idle_connections_per_replica_max", self.idle_connections_per_replica_max as u64, 0..=10_000),
            ("idle_connection_ms", self.idle_connection_ms, 0..=DAY),
            // With 0, a wrong key would always get 429 and never 401.
            ("key_failures_per_minute_max", of(self.key_failures_per_minute_max), 1..=1_000_000),
            ("key_failures_per_minute_all_max", of(self.key_failures_per_minute_all_max), 1..=1_000_000),
            ("report_interval_ms", self.report_interval_ms, 10..=60_000),
        ]
    }
}

/// A `_ms` number as a duration.
pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(set: impl FnOnce(&mut GatewayConfig)) -> String {
        let mut config = GatewayConfig::default();
        set(&mut config);
        config.check().unwrap_err()
    }

    #[test]
    fn config_value_out_of_range_is_named_with_what_would_work() {
        GatewayConfig::default().check().unwrap();
        let body = refused(|it| it.body_bytes_max = 0);
        assert_eq!(
            body,
            "gateway.body_bytes_max must be 1024 to 1073741824, got 0, by default it is 8388608"
        );
        let first = refused(|it| it.first_byte_timeout_ms = 0);
        assert!(first.starts_with("gateway.first_byte_timeout_ms must be 10 to "), "{first}");
        assert!(refused(|it| it.bytes_max = 1).starts_with("gateway.bytes_max must be 1024 to "));
        assert!(
            refused(|it| it.total_timeout_ms = u64::MAX).starts_with("gateway.total_timeout_ms must be ")
        );
    }

    #[test]
    fn config_memory_limits_hold_at_least_one_body() {
        for set in [(|it| it.bytes_max = 8 << 20) as fn(&mut GatewayConfig), |it| {
            it.bytes_per_endpoint_max = 8 << 20
        }] {
            let mut config = GatewayConfig::default();
            set(&mut config);
            config.check().unwrap();
            config.body_bytes_max += 1;
            let error = config.check().unwrap_err();
            assert!(error.contains("must be at least gateway.body_bytes_max, 8388609"), "{error}");
        }
    }
}

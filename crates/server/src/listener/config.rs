//! Limits of the public listener, and whom it believes.

use dedi_domain::{Setting, check_settings};

use super::proxies::TrustedProxies;

/// Limits of the public listener. What each number may be stands in [`ListenConfig::numbers`].
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, documented::DocumentedFields)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListenConfig {
    /// Open connections in all. Beyond it silent and idle ones are closed for new ones; where all are busy, new ones
    /// wait in the kernel's queue.
    pub connections_max: usize,
    /// Open connections from one address, but for trusted proxies. Beyond it the same happens among its own.
    pub connections_per_ip_max: u32,
    /// Seconds for a request's headers to arrive, from the connection's first moment on.
    pub header_timeout_secs: u64,
    /// Seconds that a connection is kept without a request.
    pub keep_alive_secs: u64,
    /// Seconds that running requests get to finish at shutdown.
    pub shutdown_grace_secs: u64,
    /// Addresses and networks of proxies in front of this server, such as `"10.0.0.5"` or `"10.0.0.0/24"`: the address
    /// that they name in X-Forwarded-For or Forwarded is the client's, and their own number of connections is not
    /// limited.
    pub trusted_proxies: TrustedProxies,
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self {
            connections_max: 8_000, // what a host's usual limit of 20,000 descriptors is enough for
            connections_per_ip_max: 256,
            header_timeout_secs: 10, // a client that sends headers slower than this is stuck or hostile
            keep_alive_secs: 75, // longer than proxies and SDKs keep theirs, so that they close first and nothing crosses
            shutdown_grace_secs: 30, // the drain limit of replicas, so neither cuts the other short
            trusted_proxies: TrustedProxies::default(),
        }
    }
}

impl ListenConfig {
    /// What is wrong with the values, as a sentence; types are checked before.
    ///
    /// # Errors
    ///
    /// The first problem found, as a sentence.
    pub(crate) fn check(&self) -> Result<(), String> {
        check_settings("http", &self.numbers(), &Self::default().numbers())
    }

    /// What each number may be. The upper ends are far beyond real use: a number above one is a slip of the hand.
    pub(crate) fn numbers(&self) -> [Setting; 5] {
        [
            ("connections_max", self.connections_max as u64, 1..=1_000_000),
            ("connections_per_ip_max", u64::from(self.connections_per_ip_max), 1..=1_000_000),
            ("header_timeout_secs", self.header_timeout_secs, 1..=3_600),
            ("keep_alive_secs", self.keep_alive_secs, 1..=86_400),
            ("shutdown_grace_secs", self.shutdown_grace_secs, 0..=86_400),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_that_nobody_could_reach_is_refused() {
        ListenConfig::default().check().unwrap();
        let none = ListenConfig { connections_max: 0, ..ListenConfig::default() };
        let said = none.check().unwrap_err();
        assert_eq!(said, "http.connections_max must be 1 to 1000000, got 0, by default it is 8000");
        let none = ListenConfig { connections_per_ip_max: 0, ..ListenConfig::default() };
        assert!(none.check().unwrap_err().starts_with("http.connections_per_ip_max must be 1 to "));
        let none = ListenConfig { keep_alive_secs: 0, ..ListenConfig::default() };
        assert!(none.check().unwrap_err().starts_with("http.keep_alive_secs must be 1 to "));
    }
}

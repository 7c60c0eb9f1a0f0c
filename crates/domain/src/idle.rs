//! What becomes of an endpoint that nobody asks. With `min_replicas` 0 it sleeps and a request wakes it; after its
//! inactivity timeout it is stopped, and only a start wakes it. The second is never the silent end of the first: an
//! endpoint with `min_replicas` 0 has a timeout only where somebody asked for one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plural::count;
use crate::time::Timestamp;

/// Who set an inactivity timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeoutBy {
    /// Nobody: it is the server's.
    Default,
    /// The request that made the endpoint.
    #[default]
    Create,
    /// A later request.
    Update,
}

impl TimeoutBy {
    /// As a part of a sentence about the timeout.
    pub fn words(self) -> &'static str {
        match self {
            Self::Default => "the server's default",
            Self::Create => "set when the endpoint was created",
            Self::Update => "set by an update",
        }
    }
}

/// Where an endpoint's inactivity timeout comes from, and what it has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdleRule {
    /// Who set it.
    pub set_by: TimeoutBy,
    /// It counts from then at the earliest: a shorter one does not act on what was allowed before.
    pub counts_from: Timestamp,
    /// What stopped the endpoint last.
    pub stopped: Option<IdleStop>,
}

/// A stop for inactivity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdleStop {
    /// The timeout at that time, in minutes.
    pub minutes: u32,
    /// Who had set it.
    pub by: TimeoutBy,
}

impl IdleStop {
    /// As a sentence without a subject.
    pub fn sentence(self) -> String {
        let Self { minutes, by } = self;
        format!(
            "no inference request for {}, its inactive_timeout ({})",
            count(minutes.into(), "minute"),
            by.words()
        )
    }
}

impl IdleRule {
    /// The rule after the timeout has changed from `before` to `after`.
    #[must_use]
    pub fn changed(self, before: Option<u32>, after: Option<u32>, by: TimeoutBy, now: Timestamp) -> Self {
        let is_shorter = match (before, after) {
            (Some(before), Some(after)) => after < before,
            (None, Some(_)) => true,
            (Some(_) | None, None) => false,
        };
        Self { set_by: by, counts_from: if is_shorter { now } else { self.counts_from }, ..self }
    }
}

/// The timeout of an endpoint whose requests ask for none: the server's, but for one that sleeps and wakes.
pub fn default_timeout(servers: Option<u32>, min_replicas: u32) -> Option<u32> {
    servers.filter(|_| min_replicas > 0)
}

/// What becomes of the endpoint without requests, as a sentence. `sleeps_after` is how long replicas that nobody needs
/// are kept.
pub fn outlook(min_replicas: u32, timeout: Option<u32>, by: TimeoutBy, sleeps_after: Duration) -> String {
    let stops = timeout.map(|it| {
        let after = count(it.into(), "minute");
        format!(
            "after {after} without one it is STOPPED, which only a start ends (inactive_timeout, {})",
            by.words()
        )
    });
    match (min_replicas, stops) {
        (0, None) => format!(
            "without requests it sleeps after about {} s, and the next request wakes it",
            sleeps_after.as_secs()
        ),
        (0, Some(stops)) => format!(
            "without requests it sleeps after about {} s, and the next request wakes it; {stops}; with \
             inactive_timeout 0 it would sleep and wake for ever",
            sleeps_after.as_secs()
        ),
        (_, None) => format!("it keeps {} without requests, too", count(min_replicas.into(), "replica")),
        (_, Some(stops)) => {
            format!("it keeps {} without requests; {stops}", count(min_replicas.into(), "replica"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleepers_have_no_timeout_of_the_servers() {
        assert_eq!(default_timeout(Some(60), 0), None);
        assert_eq!(default_timeout(Some(60), 1), Some(60));
        assert_eq!(default_timeout(None, 1), None);
    }

    #[test]
    fn a_shorter_timeout_counts_from_now_and_a_longer_one_from_before() {
        let rule = IdleRule { counts_from: Timestamp(5), ..IdleRule::default() };
        let from = |before, after| rule.changed(before, after, TimeoutBy::Update, Timestamp(9)).counts_from;
        assert_eq!(from(Some(60), Some(5)), Timestamp(9));
        assert_eq!(from(None, Some(5)), Timestamp(9));
        assert_eq!(from(Some(5), Some(60)), Timestamp(5));
        assert_eq!(from(Some(5), None), Timestamp(5));
    }

    #[test]
    fn the_outlook_says_whether_it_sleeps_or_stops() {
        let said = |min, minutes| outlook(min, minutes, TimeoutBy::Create, Duration::from_secs(60));
        assert_eq!(
            said(0, None),
            "without requests it sleeps after about 60 s, and the next request wakes it"
        );
        assert!(said(0, Some(5)).contains("wakes it; after 5 minutes without one it is STOPPED"));
        assert_eq!(said(2, None), "it keeps 2 replicas without requests, too");
        assert_eq!(
            said(1, Some(1)),
            "it keeps 1 replica without requests; after 1 minute without one it is STOPPED, which only a start ends \
             (inactive_timeout, set when the endpoint was created)"
        );
    }
}

//! The size of each endpoint over time.

use std::collections::BTreeMap;

use super::{Policy, replicas_for, target};
use crate::endpoint::{Desired, EndpointState};
use crate::ids::EndpointId;
use crate::route::EndpointLoad;
use crate::time::Timestamp;

/// Chooses how many replicas each endpoint should have now. Remembers the size it last chose and since when
/// the load has needed less; without a fresh report it keeps the size.
#[derive(Clone, Debug, Default)]
pub struct Scaler {
    sizes: BTreeMap<EndpointId, Size>,
}

#[derive(Clone, Copy, Debug)]
struct Size {
    target: u32,
    lower_since: Timestamp,
    /// The start this was chosen for; a new start begins anew.
    started_at: Timestamp,
}

impl Scaler {
    /// The size for an endpoint that has `n_running` replicas now.
    pub fn target(
        &mut self,
        policy: &Policy,
        desired: &Desired,
        n_running: u32,
        load: Option<EndpointLoad>,
        now: Timestamp,
    ) -> u32 {
        if !desired.wants_replicas() {
            self.sizes.remove(&desired.id);
            return 0;
        }
        let range = desired.replicas;
        let is_started = desired.published == EndpointState::Started;
        // An endpoint that is not up yet gets one replica though its minimum is 0: that proves that it works.
        let floor = if is_started { range.min() } else { range.min().max(1) };
        let first = Size { target: n_running.max(floor), lower_since: now, started_at: desired.started_at };
        let size = self.sizes.entry(desired.id).or_insert(first);
        if size.started_at != desired.started_at {
            *size = first;
        }
        let current = size.target.clamp(floor, range.max());
        let chosen = match load {
            Some(load) if is_started => {
                if replicas_for(policy, load).clamp(range.min(), range.max()) >= current {
                    size.lower_since = now;
                }
                target(policy, range, load, current, size.lower_since, now)
            }
            Some(load) => {
                size.lower_since = now;
                current.max(replicas_for(policy, load).min(range.max()))
            }
            // No news is not idleness: the delay begins again with the next report.
            None => {
                size.lower_since = now;
                current
            }
        };
        if chosen != size.target {
            size.lower_since = now;
        }
        size.target = chosen;
        chosen
    }

    /// Forgets endpoints that are not among `present`.
    pub fn keep(&mut self, present: impl Fn(EndpointId) -> bool) {
        self.sizes.retain(|id, _| present(*id));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const POLICY: Policy = Policy { slots_per_replica: 2, scale_down_delay: Duration::from_secs(60) };

    fn desired(min: i64, max: i64) -> Desired {
        let published = EndpointState::Pending;
        Desired { published, ..crate::reconcile::tests::endpoint(min, max).desired }
    }

    fn load(in_flight: u32, waiting: u32) -> Option<EndpointLoad> {
        Some(EndpointLoad { in_flight, waiting, last_finished_at: None })
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp(secs * 1_000)
    }

    #[test]
    fn a_minimum_of_zero_starts_one_replica_then_sleeps_then_wakes() {
        let mut scaler = Scaler::default();
        let mut it = desired(0, 2);
        assert_eq!(scaler.target(&POLICY, &it, 0, load(0, 0), at(0)), 1, "it proves that it works");
        assert_eq!(scaler.target(&POLICY, &it, 1, load(0, 0), at(500)), 1, "a slow start is not idleness");
        it.published = EndpointState::Started;
        assert_eq!(scaler.target(&POLICY, &it, 1, load(0, 0), at(501)), 1);
        assert_eq!(scaler.target(&POLICY, &it, 1, load(0, 0), at(559)), 1);
        assert_eq!(scaler.target(&POLICY, &it, 1, load(0, 0), at(560)), 0, "asleep after the delay");
        assert_eq!(scaler.target(&POLICY, &it, 0, load(0, 1), at(561)), 1, "a waiting request wakes it");
        assert_eq!(scaler.target(&POLICY, &it, 0, load(0, 5), at(562)), 2, "never above the maximum");
    }

    #[test]
    fn without_a_report_the_size_stays() {
        let mut scaler = Scaler::default();
        let mut it = desired(0, 3);
        it.published = EndpointState::Started;
        assert_eq!(scaler.target(&POLICY, &it, 2, load(4, 0), at(0)), 2);
        assert_eq!(scaler.target(&POLICY, &it, 2, None, at(900)), 2);
        assert_eq!(scaler.target(&POLICY, &it, 2, load(0, 0), at(901)), 2, "the delay begins with a report");
        assert_eq!(scaler.target(&POLICY, &it, 2, load(0, 0), at(961)), 0);
    }

    #[test]
    fn a_restart_keeps_what_runs_and_what_sleeps() {
        let mut it = desired(0, 3);
        it.published = EndpointState::Started;
        assert_eq!(Scaler::default().target(&POLICY, &it, 3, None, at(0)), 3);
        assert_eq!(Scaler::default().target(&POLICY, &it, 0, None, at(0)), 0);
    }
}

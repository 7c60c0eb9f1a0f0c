//! How many replicas an endpoint needs now, from the load the gateway reports.

mod scaler;

use std::time::Duration;

pub use self::scaler::Scaler;
use crate::endpoint::ReplicaRange;
use crate::route::EndpointLoad;
use crate::time::Timestamp;

/// The numbers of scaling.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Requests one replica handles at once without queueing.
    pub slots_per_replica: u32,
    /// How long load must stay lower before a replica goes: shorter than this a lull costs less than the
    /// cold start that would follow it.
    pub scale_down_delay: Duration,
}

/// The replica count wanted now. `lower_since` is when the load last needed `current` replicas or more.
pub fn target(
    policy: &Policy,
    range: ReplicaRange,
    load: EndpointLoad,
    current: u32,
    lower_since: Timestamp,
    now: Timestamp,
) -> u32 {
    let wanted = replicas_for(policy, load).clamp(range.min(), range.max());
    if wanted >= current || now.since(lower_since) >= policy.scale_down_delay {
        wanted
    } else {
        current.min(range.max())
    }
}

/// Replicas that hold all requests, accepted and waiting.
pub fn replicas_for(policy: &Policy, load: EndpointLoad) -> u32 {
    load.in_flight.saturating_add(load.waiting).div_ceil(policy.slots_per_replica.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { slots_per_replica: 4, scale_down_delay: Duration::from_secs(60) };

    fn at(in_flight: u32, current: u32, secs_lower: i64) -> u32 {
        let load = EndpointLoad { in_flight, waiting: 0, last_finished_at: None };
        let range = ReplicaRange::new(1, 3).unwrap();
        target(&POLICY, range, load, current, Timestamp(0), Timestamp(secs_lower * 1000))
    }

    #[test]
    fn goes_up_at_once_and_down_after_the_delay_within_the_range() {
        assert_eq!(at(0, 1, 0), 1);
        assert_eq!(at(5, 1, 0), 2);
        assert_eq!(at(99, 1, 0), 3);
        assert_eq!(at(0, 3, 59), 3);
        assert_eq!(at(0, 3, 60), 1);
    }

    #[test]
    fn a_waiting_request_wakes_an_endpoint_that_sleeps_at_zero() {
        let range = ReplicaRange::new(0, 1).unwrap();
        let load = EndpointLoad { in_flight: 0, waiting: 1, last_finished_at: None };
        assert_eq!(target(&POLICY, range, load, 0, Timestamp(0), Timestamp(0)), 1);
    }
}

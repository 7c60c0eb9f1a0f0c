//! The size each endpoint should have, as the control plane chooses it: without a fresh report the size stays,
//! and an endpoint that is not up yet gets one replica though its minimum is 0.

use std::time::Duration;

use dedi_domain::autoscale::{Policy, replicas_for, target};
use dedi_domain::route::EndpointLoad;
use dedi_domain::{Desired, EndpointId, EndpointState, Timestamp};

use crate::bug::Bug;

pub(crate) const POLICY: Policy = Policy { slots_per_replica: 2, scale_down_delay: Duration::from_secs(60) };

#[derive(Clone, Copy, Debug)]
struct Size {
    target: u32,
    lower_since: Timestamp,
    started_at: Timestamp,
}

/// Lost when the control plane restarts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scaler {
    sizes: Vec<(EndpointId, Size)>,
}

impl Scaler {
    /// The size, and whether it was made smaller without a report that says so.
    pub(crate) fn target(
        &mut self,
        bug: Option<Bug>,
        desired: &Desired,
        n_running: u32,
        load: Option<EndpointLoad>,
        now: Timestamp,
    ) -> (u32, bool) {
        if !desired.wants_replicas() {
            self.sizes.retain(|it| it.0 != desired.id);
            return (0, false);
        }
        let range = desired.replicas;
        let is_started = desired.published == EndpointState::Started && bug != Some(Bug::NeverSleeps);
        let floor = if is_started { range.min() } else { range.min().max(1) };
        let first = Size { target: n_running.max(floor), lower_since: now, started_at: desired.started_at };
        let at = self.sizes.iter().position(|it| it.0 == desired.id).unwrap_or_else(|| {
            self.sizes.push((desired.id, first));
            self.sizes.len() - 1
        });
        let size = &mut self.sizes[at].1;
        if size.started_at != desired.started_at {
            *size = first;
        }
        let current = size.target.clamp(floor, range.max());
        let chosen = match load {
            Some(load) if is_started => {
                if replicas_for(&POLICY, load).clamp(range.min(), range.max()) >= current {
                    size.lower_since = now;
                }
                target(&POLICY, range, load, current, size.lower_since, now)
            }
            Some(load) => {
                size.lower_since = now;
                current.max(replicas_for(&POLICY, load).min(range.max()))
            }
            None if bug == Some(Bug::ScaleDownBlind) => range.min(),
            None => {
                size.lower_since = now;
                current
            }
        };
        if chosen != size.target {
            size.lower_since = now;
        }
        size.target = chosen;
        (chosen, load.is_none() && chosen < current)
    }
}

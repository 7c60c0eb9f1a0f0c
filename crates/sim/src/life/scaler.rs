//! The size each endpoint should have, as the control plane chooses it, and two ways to get that wrong.

use std::time::Duration;

use dedi_domain::autoscale::{self, Policy};
use dedi_domain::route::EndpointLoad;
use dedi_domain::{Desired, EndpointState, Timestamp};

use crate::bug::Bug;

pub(crate) const POLICY: Policy = Policy { slots_per_replica: 2, scale_down_delay: Duration::from_secs(60) };

/// Lost when the control plane restarts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scaler {
    sizes: autoscale::Scaler,
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
        let mut desired = desired.clone();
        if bug == Some(Bug::NeverSleeps) {
            desired.published = EndpointState::Pending;
        }
        let kept = self.sizes.target(&POLICY, &desired, n_running, load, now);
        let is_blind = bug == Some(Bug::ScaleDownBlind) && load.is_none() && desired.wants_replicas();
        let chosen = if is_blind { desired.replicas.min() } else { kept };
        (chosen, chosen < kept)
    }
}

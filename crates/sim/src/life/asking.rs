//! Inference users: they ask for tokens, of their own tenant's endpoints and of others', and leave.

use super::Sim;
use super::fault::Fault;
use crate::bug::Bug;
use crate::trace::{Checked, broken};

impl Sim {
    /// A request of an inference user, most often for an endpoint of its own tenant; or one of them leaves.
    pub(super) fn request(&mut self) -> Checked {
        if self.rng.percent(5) {
            let at = self.rng.below(self.gateway.requests.running.len());
            self.gateway.leave(at, self.now);
            return Ok(());
        }
        let known = &self.gateway.applied.routes.routes;
        let Some(wanted) = known.get(self.rng.below(known.len())) else { return Ok(()) };
        let (id, owner) = (wanted.endpoint, wanted.owner.clone());
        let is_foreign = self.rng.percent(10);
        let Some(caller) = self.tenants.both.iter().find(|it| (it.owner == owner) != is_foreign) else {
            return Ok(());
        };
        let Some((caller, route)) = self.gateway.find(&id.to_string(), caller.key.reveal(), self.now) else {
            return Ok(());
        };
        if route.owner != caller {
            return broken("S13", format!("{caller} is answered by {id} of {}", route.owner));
        }
        let at = self.rng.below(route.replicas.len());
        let Some(replica) = route.replicas.get(at).map(|it| it.id) else {
            // One for a stopped endpoint is refused; the planted bug holds it too.
            if route.wakes_on_request || self.bug == Some(Bug::WakeStopped) {
                self.gateway.wait(id, self.now);
            }
            return Ok(());
        };
        let never = i64::MAX / 4;
        let is_stuck = self.faults.has(Fault::StuckRequest) && self.rng.percent(30);
        let (first, lasts) = match is_stuck {
            false => (self.rng.between(50, 2_000), self.rng.between(50, 20_000)),
            true if self.rng.percent(30) => (never, 0),
            true => (self.rng.between(50, 2_000), never),
        };
        self.gateway.begin((id, replica), self.runtime.is_ready(replica), (self.now, first, lasts));
        Ok(())
    }
}

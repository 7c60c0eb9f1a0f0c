//! What a control plane publishes to the gateway, and what that may say to whom.

use std::sync::Arc;

use dedi_domain::EndpointState;
use dedi_domain::reconcile::World;
use dedi_domain::route::{Route, RouteTable, Serving};
use dedi_domain::status::explain;

use crate::bug::Bug;
use crate::life::Sim;
use crate::trace::{Checked, broken};
use crate::world::gateway::Table;
use crate::world::tenants::OVERHEARD;

/// Requests a replica generates at the same time.
const SLOTS: u32 = 2;

impl Sim {
    /// Publishes the table that `world` shows, where it differs from what is out.
    pub(crate) fn publish_routes(&mut self, who: usize, world: &World) -> Checked {
        let keys = self.tenants.keys.clone();
        let serving = Serving { slots: SLOTS, keys, ..Serving::default() };
        let controller = &mut self.controllers[who];
        let Some(mut table) = controller.published.next(&controller.table, world, serving) else {
            return Ok(());
        };
        if let Some(bug @ (Bug::TellsOverheard | Bug::NamesHolder)) = self.bug {
            for it in &mut table.routes {
                misreport(bug, Arc::make_mut(it), world);
            }
        }
        self.check_routes(&table)?;
        let table = Arc::new(table);
        self.controllers[who].table = table.clone();
        self.gateway.publish(Table::new(table));
        Ok(())
    }

    /// S13 and S17 of a table: the reason of each route may be told to whoever may ask that route for tokens.
    fn check_routes(&self, table: &RouteTable) -> Checked {
        for it in &table.routes {
            self.tenants.check_told(&it.owner, &it.endpoint.to_string(), &it.reason)?;
            self.tenants.check_secret(&it.reason)?;
            if it.reason.contains(OVERHEARD) {
                return broken("S17", format!("{} tells what was overheard: {}", it.endpoint, it.reason));
            }
        }
        Ok(())
    }

    /// S13 of what an endpoint's own tenant reads of it.
    pub(crate) fn check_explained(&self, world: &World) -> Checked {
        for view in &world.endpoints {
            let desired = &view.desired;
            let reason = explain(view, world).reason;
            let id = desired.id.to_string();
            self.tenants.check_told(&desired.owner, &id, &reason.message)?;
            self.tenants.check_told(&desired.owner, &id, reason.next_step.as_deref().unwrap_or_default())?;
        }
        Ok(())
    }
}

/// Planted bugs in the reason of a route.
fn misreport(bug: Bug, route: &mut Route, world: &World) {
    let own = world.endpoints.iter().find(|it| it.desired.id == route.endpoint);
    if let (Bug::TellsOverheard, Some(view)) = (bug, own) {
        route.reason = explain(view, world).reason.message;
    }
    let waits = bug == Bug::NamesHolder && route.state == EndpointState::Pending;
    let holder = world.endpoints.iter().find(|it| !it.replicas.is_empty());
    if let (true, Some(holder)) = (waits, holder) {
        route.reason = format!("waits for {}", holder.desired.id);
    }
}

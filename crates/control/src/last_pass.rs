//! What the last pass saw and could not do: the reconciler writes it, requests read it. It is a copy; the store and the
//! runtime are the truth.

use std::collections::BTreeMap;
use std::sync::Arc;

use dedi_domain::reconcile::{EndpointView, Settings, World};
use dedi_domain::{Capabilities, EndpointId, Inventory, Observation, Quarantine, Timestamp};
use parking_lot::RwLock;

#[derive(Debug)]
pub(crate) struct LastPass {
    world: RwLock<Arc<World>>,
    /// Whose next step could not be recorded, and why not.
    unrecorded: RwLock<BTreeMap<EndpointId, String>>,
}

impl LastPass {
    /// Nothing has been seen yet.
    pub(crate) fn none(now: Timestamp, capabilities: Capabilities, settings: Settings) -> Self {
        let world = World {
            now,
            endpoints: Vec::new(),
            quarantine: Quarantine::default(),
            observation: Observation::Unknown,
            listed_at: now,
            inventory: Inventory::default(),
            capabilities,
            settings,
        };
        Self { world: RwLock::new(Arc::new(world)), unrecorded: RwLock::default() }
    }

    pub(crate) fn world(&self) -> Arc<World> {
        self.world.read().clone()
    }

    pub(crate) fn set_world(&self, world: Arc<World>) {
        *self.world.write() = world;
    }

    /// Why the next step of an endpoint could not be recorded, if that is so.
    pub(crate) fn unrecorded(&self, endpoint: EndpointId) -> Option<String> {
        self.unrecorded.read().get(&endpoint).cloned()
    }

    pub(crate) fn set_unrecorded(&self, unrecorded: BTreeMap<EndpointId, String>) {
        *self.unrecorded.write() = unrecorded;
    }
}

/// What a world says of one endpoint.
pub(crate) fn view_of(world: &World, id: EndpointId) -> Option<&EndpointView> {
    world.endpoints.iter().find(|it| it.desired.id == id)
}

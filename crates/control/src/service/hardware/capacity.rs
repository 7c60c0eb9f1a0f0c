//! What is free now, and what could hold a replica.

use std::collections::BTreeSet;
use std::sync::Arc;

use dedi_domain::fit::{Fit, MemoryNeed, fit};
use dedi_domain::reconcile::{World, has_queue};
use dedi_domain::{DeviceId, HardwareConfig, HardwareId, Inventory};

/// The host's devices, with those that replicas hold by the last pass.
pub(crate) struct Capacity<'a> {
    pub(super) world: Arc<World>,
    inventory: &'a Inventory,
    taken: BTreeSet<DeviceId>,
}

impl<'a> Capacity<'a> {
    pub(super) fn new(world: Arc<World>, inventory: &'a Inventory) -> Self {
        let held = world.endpoints.iter().flat_map(|it| &it.replicas).flat_map(|it| &it.row.devices);
        let taken = held.chain(&world.quarantine.devices).cloned().collect();
        Self { world, inventory, taken }
    }

    pub(super) fn is_taken(&self, device: &DeviceId) -> bool {
        self.taken.contains(device)
    }

    pub(crate) fn fit(&self, need: MemoryNeed, hardware: &HardwareConfig) -> Fit {
        fit(need, hardware, self.inventory, |it| self.taken.contains(it))
    }

    /// The smallest hardware that could hold it: of the same kind first, then with as few devices as possible.
    pub(crate) fn nearest(&self, need: MemoryNeed, hardware: &HardwareConfig) -> Option<HardwareId> {
        let catalog = self.inventory.catalog().into_iter();
        catalog
            .filter(|it| {
                matches!(self.fit(need, it), Fit::Fits { .. })
                    && self.inventory.bar(&it.kind.name()).is_none()
            })
            .min_by_key(|it| (it.kind != hardware.kind, it.count, it.id.clone()))
            .map(|it| it.id)
    }

    /// Whether another endpoint is served before one that would be made now.
    pub(crate) fn has_queue(&self, hardware: &HardwareConfig) -> bool {
        has_queue(&self.world, &hardware.kind.name())
    }

    /// Bytes that are free on each device which hardware of this size could get, most first.
    pub(crate) fn available_bytes(&self, hardware: &HardwareConfig) -> Vec<u64> {
        let of_kind = self.inventory.devices.iter().filter(|it| it.kind == hardware.kind);
        let free = of_kind.filter(|it| it.can_take(0) && !self.taken.contains(&it.id));
        let mut available: Vec<u64> = free.map(|it| it.available_bytes()).collect();
        available.sort_unstable_by(|a, b| b.cmp(a));
        available.truncate(hardware.count as usize);
        available
    }
}

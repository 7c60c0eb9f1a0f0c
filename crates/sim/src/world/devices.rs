//! The host's devices as they truly are, and as they are measured.

use dedi_domain::hardware::Health;
use dedi_domain::{Device, DeviceId, DeviceKind, Inventory};

use crate::rng::Rng;

const GB: u64 = 1 << 30;
/// Memory that one replica needs on each device.
pub(crate) const NEEDED_BYTES: u64 = 40 * GB;
const TOTAL_BYTES: u64 = 80 * GB;
/// What a stranger takes: too much for a replica beside it.
const FOREIGN_BYTES: u64 = 60 * GB;
/// What a dead process leaves: a replica would still fit beside it, but must not be put there.
const LEFTOVER_BYTES: u64 = 20 * GB;

/// A set of devices as bits.
pub(crate) type DeviceSet = u32;

#[derive(Clone, Debug)]
pub(crate) struct Truth {
    pub(crate) is_healthy: bool,
    pub(crate) is_present: bool,
    pub(crate) has_foreign: bool,
    /// Memory of a dead process is held until then.
    pub(crate) held_until: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Devices {
    pub(crate) truth: Vec<Truth>,
    all: Vec<Device>,
    /// The measurement that the next look takes; its place is kept to save allocations.
    pub(crate) measured: Inventory,
    measured_present: DeviceSet,
}

/// Whether trouble with a device is its driver's, which says nothing of the device: so it is with each second one.
fn is_the_drivers(device: &Device) -> bool {
    device.index % 2 == 1
}

/// The bit of a device; ids are `d0`, `d1`, ….
pub(crate) fn bit(id: &DeviceId) -> DeviceSet {
    id.name().as_bytes().get(1).map_or(0, |it| 1 << (it.wrapping_sub(b'0') & 31))
}

pub(crate) fn set_of(ids: &[DeviceId]) -> DeviceSet {
    ids.iter().map(bit).fold(0, |sum, it| sum | it)
}

/// The products of the two kinds.
pub(crate) const PRODUCTS: [&str; 2] = ["nvidia_a", "nvidia_b"];

impl Devices {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let n_first = 1 + rng.below(4);
        let n_second = if rng.percent(30) { 1 + rng.below(2) } else { 0 };
        let mut all = Vec::new();
        for (product, n) in PRODUCTS.iter().zip([n_first, n_second]) {
            for index in 0..n {
                all.push(Device {
                    id: DeviceId::local(format!("d{}", all.len())),
                    kind: DeviceKind { product: (*product).to_owned(), memory_gb: 80, link: String::new() },
                    index: u32::try_from(index).unwrap_or(0),
                    health: Health::Healthy,
                    memory_total_bytes: TOTAL_BYTES,
                    foreign_bytes: 0,
                    foreign_processes: Vec::new(),
                    leftover_bytes: 0,
                    barred: None,
                });
            }
        }
        let fresh = Truth { is_healthy: true, is_present: true, has_foreign: false, held_until: 0 };
        Self {
            truth: vec![fresh; all.len()],
            measured: Inventory { devices: all.clone(), troubles: Vec::new() },
            measured_present: (1 << all.len()) - 1,
            all,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.truth.len()
    }

    /// Which kind the device is of, as an index of [`PRODUCTS`].
    pub(crate) fn kind_of(&self, at: usize) -> usize {
        usize::from(self.all.get(at).is_some_and(|it| it.kind.product == PRODUCTS[1]))
    }

    /// The devices on which what runs goes on.
    pub(crate) fn bearing(&self) -> DeviceSet {
        let bears =
            |(device, it): (&Device, &Truth)| it.is_present && (it.is_healthy || is_the_drivers(device));
        let each = self.all.iter().zip(&self.truth).filter(|it| bears(*it));
        each.fold(0, |sum, (device, _)| sum | bit(&device.id))
    }

    /// Whether memory of a dead process is held on any of `set`.
    pub(crate) fn leftover(&self, set: DeviceSet, now: i64) -> bool {
        self.truth.iter().enumerate().any(|(at, it)| set & (1 << at) != 0 && it.held_until > now)
    }

    /// A process is gone; the memory it had comes back at `until`.
    pub(crate) fn leave(&mut self, set: DeviceSet, until: i64) {
        for (at, it) in self.truth.iter_mut().enumerate() {
            if set & (1 << at) != 0 {
                it.held_until = it.held_until.max(until);
            }
        }
    }

    /// Measures all devices that can be found.
    pub(crate) fn measure(&mut self, now: i64) {
        let present = self
            .truth
            .iter()
            .enumerate()
            .fold(0, |sum, (at, it)| if it.is_present { sum | (1 << at) } else { sum });
        if present != self.measured_present || self.measured.devices.len() != present.count_ones() as usize {
            self.measured.devices =
                self.all.iter().filter(|it| present & bit(&it.id) != 0).cloned().collect();
            self.measured_present = present;
        }
        for device in &mut self.measured.devices {
            let at = bit(&device.id).trailing_zeros() as usize;
            let Some(truth) = self.truth.get(at) else { continue };
            if !truth.is_healthy {
                // Its numbers stay the last that were measured.
                if device.health == Health::Healthy {
                    let health = if is_the_drivers(device) { Health::Unknown } else { Health::Faulty };
                    device.health = health(String::new());
                }
                continue;
            }
            if device.health != Health::Healthy {
                device.health = Health::Healthy;
            }
            device.foreign_bytes = if truth.has_foreign { FOREIGN_BYTES } else { 0 };
            let is_held = truth.held_until > now;
            device.leftover_bytes = if is_held { LEFTOVER_BYTES } else { 0 };
        }
    }
}

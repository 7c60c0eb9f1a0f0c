//! Which devices a new replica gets. First come, first served for each kind of device: nobody who asked
//! later for the same kind overtakes, so a large request is not starved by small ones.

use std::collections::{BTreeMap, BTreeSet};

use crate::hardware::{Bar, Device, DeviceId, HardwareId, Health, Inventory};
use crate::ids::NodeId;

/// The devices still to be given out in one pass.
pub(crate) struct Pool<'a> {
    inventory: &'a Inventory,
    taken: BTreeSet<&'a DeviceId>,
    /// Kinds that somebody waits for, and how many devices that one needs.
    blocked_kinds: BTreeMap<String, u32>,
    /// Free devices that are kept for who may not have them yet, and how many that one needs.
    kept: BTreeMap<&'a DeviceId, u32>,
}

/// Why no devices were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// The host has fewer such devices than one replica needs.
    NoSuchHardware {
        /// Healthy devices of the kind.
        n_healthy: u32,
        /// Devices needed.
        n_needed: u32,
        /// One that can't be used, and what it has.
        trouble: Option<String>,
    },
    /// Too few can be used, because the engine program or the way they are set up is in the way of the others.
    Barred {
        /// Devices of the kind that can be used.
        n_usable: u32,
        /// Devices needed.
        n_needed: u32,
        /// What is in the way.
        bar: Bar,
    },
    /// Too few are free.
    Busy {
        /// Free ones.
        n_free: u32,
        /// Devices needed.
        n_needed: u32,
    },
    /// Free ones lack memory, because other programs use it or the dead still hold it.
    Memory {
        /// Most bytes available on a free device.
        available_bytes: u64,
        /// Bytes needed on each.
        needed_bytes: u64,
        /// Whether other programs have so much of a free device that it counts as theirs, whatever is left.
        is_strangers: bool,
        /// The largest user and what it uses, if known.
        user: Option<String>,
        /// Most bytes that are held on a free device by a process that is gone.
        leftover_bytes: u64,
    },
    /// Somebody who asked earlier for this kind is served first.
    Turn {
        /// Free devices of the kind.
        n_free: u32,
        /// Devices that the earlier one needs.
        n_needed: u32,
    },
}

impl<'a> Pool<'a> {
    pub(crate) fn new(inventory: &'a Inventory, taken: impl IntoIterator<Item = &'a DeviceId>) -> Self {
        Self {
            inventory,
            taken: taken.into_iter().collect(),
            blocked_kinds: BTreeMap::new(),
            kept: BTreeMap::new(),
        }
    }

    /// Takes devices so that nobody gets them in this pass, for one replica that is not launched yet.
    pub(crate) fn keep(&mut self, hardware: &HardwareId, bytes_each: u64) -> Result<Vec<DeviceId>, Shortage> {
        let devices = self.take(hardware, bytes_each)?;
        let known = self.inventory.devices.iter().map(|it| &it.id).filter(|it| devices.contains(it));
        self.kept.extend(known.map(|it| (it, hardware.count())));
        Ok(devices)
    }

    /// Takes devices for one replica, all of one node and lowest index first. Of several nodes the first that has enough
    /// gives them; where none has, the shortage is told that passes soonest.
    pub(crate) fn take(&mut self, hardware: &HardwareId, bytes_each: u64) -> Result<Vec<DeviceId>, Shortage> {
        let kind = hardware.kind_name();
        let of_kind = self.inventory.devices.iter().filter(|it| it.kind.is_named(kind));
        let mut nodes: BTreeMap<&'a NodeId, Vec<&'a Device>> = BTreeMap::new();
        for device in of_kind {
            nodes.entry(device.id.node()).or_default().push(device);
        }
        // What is told where no node has any.
        let mut found = self.find(&[], hardware, bytes_each);
        for of_node in nodes.values() {
            found = match (found, self.find(of_node, hardware, bytes_each)) {
                (Ok(devices), _) | (Err(_), Ok(devices)) => Ok(devices),
                (Err(before), Err(here)) if here.rank() <= before.rank() => Err(here),
                (Err(before), Err(_)) => Err(before),
            };
        }
        let shortage = match found {
            Ok(devices) => {
                self.taken.extend(devices.iter().map(|it| &it.id));
                return Ok(devices.into_iter().map(|it| it.id.clone()).collect());
            }
            Err(shortage) => shortage,
        };
        match shortage {
            Shortage::Busy { .. } | Shortage::Turn { .. } => {
                self.blocked_kinds.entry(kind.to_owned()).or_insert(hardware.count());
            }
            // Does not block the kind: nobody can have these, or memory that strangers hold may never come back.
            Shortage::NoSuchHardware { .. } | Shortage::Barred { .. } | Shortage::Memory { .. } => {}
        }
        Err(shortage)
    }

    /// The devices that one node would give, of those of the kind that it has.
    fn find(
        &self,
        of_kind: &[&'a Device],
        hardware: &HardwareId,
        bytes_each: u64,
    ) -> Result<Vec<&'a Device>, Shortage> {
        let n_needed = hardware.count();
        let healthy: Vec<&'a Device> =
            of_kind.iter().copied().filter(|it| it.health == Health::Healthy).collect();
        if healthy.len() < n_needed as usize {
            let n_healthy = u32::try_from(healthy.len()).unwrap_or(u32::MAX);
            let trouble = of_kind.iter().find_map(|it| match &it.health {
                Health::Healthy => None,
                Health::Faulty(what) | Health::Unknown(what) => Some(format!("{}: {what}", it.id)),
            });
            // Some may be there that could not be listed.
            let is_cpu = of_kind.iter().any(|it| it.kind.is_cpu());
            let unlisted = self.inventory.troubles.first().filter(|_| !is_cpu).map(|it| it.what.clone());
            let trouble = trouble.or(unlisted);
            return Err(Shortage::NoSuchHardware { n_healthy, n_needed, trouble });
        }
        let n_barred = healthy.iter().filter(|it| it.barred.is_some()).count();
        let n_usable = healthy.len() - n_barred;
        if n_usable < n_needed as usize
            && let Some(bar) = healthy.iter().find_map(|it| it.barred.clone())
        {
            let n_usable = u32::try_from(n_usable).unwrap_or(u32::MAX);
            return Err(Shortage::Barred { n_usable, n_needed, bar });
        }
        let healthy = healthy.into_iter().filter(|it| it.barred.is_none());
        let free: Vec<&'a Device> = healthy.filter(|it| !self.taken.contains(&it.id)).collect();
        let n_free = u32::try_from(free.len()).unwrap_or(u32::MAX);
        if let Some(n_needed) = self.blocked_kinds.get(hardware.kind_name()) {
            return Err(Shortage::Turn { n_free, n_needed: *n_needed });
        }
        if free.len() < n_needed as usize {
            let kept = of_kind.iter().filter_map(|it| self.kept.get(&it.id)).copied().collect::<Vec<u32>>();
            if let Some(n_needed) = kept.first().copied() {
                let n_kept = u32::try_from(kept.len()).unwrap_or(u32::MAX);
                return Err(Shortage::Turn { n_free: n_free.saturating_add(n_kept), n_needed });
            }
            return Err(Shortage::Busy { n_free, n_needed });
        }
        let mut able: Vec<&'a Device> = free.iter().copied().filter(|it| it.can_take(bytes_each)).collect();
        if able.len() < n_needed as usize {
            let fullest = free.iter().max_by_key(|it| it.foreign_bytes);
            return Err(Shortage::Memory {
                available_bytes: free.iter().map(|it| it.available_bytes()).max().unwrap_or(0),
                is_strangers: free.iter().any(|it| it.is_strangers()),
                needed_bytes: bytes_each,
                user: fullest.and_then(|it| it.foreign_processes.first().cloned()),
                leftover_bytes: free.iter().map(|it| it.leftover_bytes).max().unwrap_or(0),
            });
        }
        able.sort_by_key(|it| it.index);
        able.truncate(n_needed as usize);
        Ok(able)
    }
}

impl Shortage {
    /// The lower, the sooner it passes by itself; of one kind, by how many devices lack.
    fn rank(&self) -> (u8, u32) {
        match self {
            Self::Busy { n_free, n_needed } => (0, n_needed.saturating_sub(*n_free)),
            Self::Turn { .. } => (0, 0),
            Self::Memory { .. } => (1, 0),
            Self::Barred { n_usable, n_needed, .. } => (2, n_needed.saturating_sub(*n_usable)),
            Self::NoSuchHardware { n_healthy, n_needed, .. } => (3, n_needed.saturating_sub(*n_healthy)),
        }
    }
}

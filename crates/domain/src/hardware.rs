//! Devices of a host and the hardware configurations made of them. Discovered elsewhere; here they are
//! only named, counted and compared.

mod device_id;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::device_id::DeviceId;
use crate::ids::{InvalidName, NodeId};

/// A hardware configuration by its wire name, such as `2x_nvidia_h100_80gb_sxm` or `4x_cpu_8gb`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HardwareId(String);

impl HardwareId {
    /// Accepts `^[1-9][0-9]*x_[a-z0-9]+(_[a-z0-9]+)*$`, at most 96 bytes.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let fits = text.len() <= 96
            && text.split_once("x_").is_some_and(|(count, kind)| {
                count.len() <= 6
                    && !count.starts_with('0')
                    && count.bytes().all(|it| it.is_ascii_digit())
                    && !count.is_empty()
                    && kind.split('_').all(|part| {
                        !part.is_empty()
                            && part.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
                    })
            });
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName(format!("`{text}` is not of the form <count>x_<kind>_<memory>gb_<link>")))
        }
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many devices the configuration has.
    pub fn count(&self) -> u32 {
        self.0.split_once("x_").and_then(|(count, _)| count.parse().ok()).unwrap_or(0)
    }

    /// Whether it is made of processor cores.
    pub fn is_cpu(&self) -> bool {
        self.kind_name().starts_with("cpu_")
    }

    /// The name without its count: what kind of device it is made of.
    pub fn kind_name(&self) -> &str {
        self.0.split_once("x_").map_or("", |(_, kind)| kind)
    }
}

impl fmt::Display for HardwareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for HardwareId {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::parse(&text)
    }
}

impl From<HardwareId> for String {
    fn from(it: HardwareId) -> Self {
        it.0
    }
}

/// What sort of device it is, as far as a configuration's name tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceKind {
    /// `cpu`, `nvidia_h100`, `nvidia_rtx_6000_ada`: lower-case words joined by `_`.
    pub product: String,
    /// Memory of one device as marketed, in GB; in CPU kinds, the memory that goes with one core.
    pub memory_gb: u32,
    /// `sxm`, `pcie`; empty where there is none.
    pub link: String,
}

impl DeviceKind {
    /// Whether devices of this kind are processor cores of the host.
    pub fn is_cpu(&self) -> bool {
        self.product == "cpu"
    }

    /// The kind's part of a hardware id: `nvidia_h100_80gb_sxm`.
    pub fn name(&self) -> String {
        let mut name = String::new();
        // Writing into a text does not fail.
        let _ = self.write_name(&mut name);
        name
    }

    /// Whether that is its [`DeviceKind::name`]; asked of every device in each decision, so nothing is built for it.
    pub fn is_named(&self, name: &str) -> bool {
        let mut rest = Rest(name);
        self.write_name(&mut rest).is_ok() && rest.0.is_empty()
    }

    fn write_name(&self, out: &mut impl fmt::Write) -> fmt::Result {
        let Self { product, memory_gb, link } = self;
        match link.as_str() {
            "" => write!(out, "{product}_{memory_gb}gb"),
            link => write!(out, "{product}_{memory_gb}gb_{link}"),
        }
    }

    /// Whether a shorter name than [`DeviceKind::name`] may mean this kind.
    fn is_meant_by(&self, text: &str) -> bool {
        let Self { product, memory_gb, link } = self;
        let is_linked = !link.is_empty();
        text == product
            || text == format!("{product}_{memory_gb}gb")
            || (is_linked && text == format!("{product}_{link}"))
    }

    /// The contract's `gpu_type`: the product without its vendor, and the memory: `h100-80gb`.
    pub fn gpu_type(&self) -> String {
        let product = self.product.split_once('_').map_or(self.product.as_str(), |(_, it)| it);
        format!("{}-{}gb", product.replace('_', "-"), self.memory_gb)
    }

    /// The configuration of `count` such devices.
    pub fn hardware_id(&self, count: u32) -> HardwareId {
        HardwareId(format!("{count}x_{}", self.name()))
    }
}

/// The rest of a text that begins with all that was written so far.
struct Rest<'a>(&'a str);

impl fmt::Write for Rest<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
        Ok(())
    }
}

/// Whether a device can be used at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// Answers and reports no fault.
    Healthy,
    /// Reported a fault or stopped answering; the text names it.
    Faulty(String),
    /// Can't be asked, which says nothing of it: nothing is placed on it, and what runs on it goes on.
    Unknown(String),
}

/// One device and what was measured of it at the last look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Which device.
    pub id: DeviceId,
    /// Its kind.
    pub kind: DeviceKind,
    /// Position among the devices of its kind, as the engine's command line counts them.
    pub index: u32,
    /// Whether it works.
    pub health: Health,
    /// Memory in bytes that one replica may use on it.
    pub memory_total_bytes: u64,
    /// Bytes in use by processes that are not ours.
    pub foreign_bytes: u64,
    /// Who uses those bytes, largest first: `72 GiB used by python (pid 4711)`.
    pub foreign_processes: Vec<String>,
    /// Bytes still held though the process of ours that took them is gone. Always 0 on CPU devices.
    pub leftover_bytes: u64,
    /// Why no replica can use it, though it is well. What runs on it goes on.
    pub barred: Option<Bar>,
}

/// What keeps replicas from a device that works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    /// Which kind of obstacle, for programs.
    pub cause: BarCause,
    /// What is in the way, as a clause.
    pub what: String,
    /// What helps, as a clause that begins with a verb.
    pub cure: String,
}

/// Kinds of obstacles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BarCause {
    /// The engine program has nothing to compute on it with.
    EngineLacksGpu,
    /// It is divided into instances.
    Divided,
}

/// Something that keeps devices from being listed, and what helps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Where.
    #[serde(default)]
    pub node: NodeId,
    /// What is wrong, as a clause, in the driver's own words where it has some.
    pub what: String,
    /// What helps, as a clause that begins with a verb.
    pub cure: String,
}

/// Strangers may use this part of a GPU before it counts as theirs: what a display and a browser take.
const STRANGERS_SHARE: u64 = 10;

/// And this much on a small one: a display alone takes some hundred MiB, drivers reserve as much.
const STRANGERS_BYTES_MIN: u64 = 1 << 30;

impl Device {
    /// Bytes a replica placed here now could have, if no other replica of ours is on it. What a dead process
    /// still holds was waited for already: such a device is in quarantine, all of it.
    pub fn available_bytes(&self) -> u64 {
        if self.is_quarantined() { 0 } else { self.memory_total_bytes.saturating_sub(self.foreign_bytes) }
    }

    /// Whether memory on it is held by nobody who is there.
    pub fn is_quarantined(&self) -> bool {
        self.leftover_bytes > 0
    }

    /// Whether other programs use so much of a GPU that it is theirs: what is left would be contended for, in memory
    /// and in time. Cores are shared with all that runs on the host anyway.
    pub fn is_strangers(&self) -> bool {
        let most = (self.memory_total_bytes / STRANGERS_SHARE).max(STRANGERS_BYTES_MIN);
        !self.kind.is_cpu() && self.foreign_bytes > most
    }

    /// Whether a replica that needs so much on each of its devices can be placed here, if no other one is on
    /// it. The one answer of placement, of the hardware list and of the plan.
    pub fn can_take(&self, bytes: u64) -> bool {
        self.health == Health::Healthy
            && self.barred.is_none()
            && !self.is_quarantined()
            && !self.is_strangers()
            && self.available_bytes() >= bytes
    }
}

/// The devices of all nodes at one look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// All devices, sorted by kind and index, then by node.
    pub devices: Vec<Device>,
    /// Why there may be GPUs that are not among them.
    pub troubles: Vec<Trouble>,
}

/// A configuration on offer: so many devices of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HardwareConfig {
    /// Its wire name.
    pub id: HardwareId,
    /// What it is made of.
    pub kind: DeviceKind,
    /// How many.
    pub count: u32,
}

impl Inventory {
    /// Every configuration on offer: for each kind, 1 to as many devices as one node has.
    pub fn catalog(&self) -> Vec<HardwareConfig> {
        let mut kinds: Vec<&DeviceKind> = self.devices.iter().map(|it| &it.kind).collect();
        kinds.sort();
        kinds.dedup();
        let n_of = |kind: &DeviceKind| {
            let mut counts: BTreeMap<&NodeId, u32> = BTreeMap::new();
            for device in self.devices.iter().filter(|it| it.kind == *kind) {
                *counts.entry(device.id.node()).or_default() += 1;
            }
            counts.into_values().max().unwrap_or(0)
        };
        kinds
            .into_iter()
            .flat_map(|kind| {
                (1..=n_of(kind)).map(|count| HardwareConfig {
                    id: kind.hardware_id(count),
                    kind: kind.clone(),
                    count,
                })
            })
            .collect()
    }

    /// The configuration of that name, if this host has such devices. Names without the memory, the link or
    /// both, as `1x_nvidia_l40`, stand for the one kind they can mean; where there are two, for none.
    pub fn config(&self, id: &HardwareId) -> Option<HardwareConfig> {
        let catalog = self.catalog();
        if let Some(exact) = catalog.iter().find(|it| it.id == *id) {
            return Some(exact.clone());
        }
        let mut meant =
            catalog.into_iter().filter(|it| it.count == id.count() && it.kind.is_meant_by(id.kind_name()));
        let one = meant.next()?;
        meant.next().is_none().then_some(one)
    }

    /// The device of that id.
    pub fn device(&self, id: &DeviceId) -> Option<&Device> {
        self.devices.iter().find(|it| it.id == *id)
    }

    /// Why no replica can use devices of the kind of that name, where one obstacle bars them all.
    pub fn bar(&self, kind_name: &str) -> Option<&Bar> {
        let mut of_kind = self.devices.iter().filter(|it| it.kind.is_named(kind_name));
        let first = of_kind.next()?.barred.as_ref()?;
        of_kind.all(|it| it.barred.as_ref().is_some_and(|it| it.cause == first.cause)).then_some(first)
    }

    /// Whether this look says what is held on the device. Of one that is absent, faulty or can't be asked, the numbers
    /// are old or none. Cores hold nothing after their process.
    pub fn is_measured(&self, id: &DeviceId) -> bool {
        id.is_cpu() || self.device(id).is_some_and(|it| it.health == Health::Healthy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_ids_follow_the_contract_grammar() {
        for good in ["1x_cpu_8gb", "8x_nvidia_h200_140gb_sxm", "1x_nvidia_l40", "1x_nvidia_rtx_6000_ada"] {
            assert!(HardwareId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "x_cpu", "0x_cpu", "1x_", "1x_CPU", "1x_cpu__8gb", "cpu", "1x_cpu_", "99999999x_cpu"]
        {
            assert!(HardwareId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_kind_is_named_as_the_contract_names_it() {
        let kind = DeviceKind { product: "nvidia_h100".into(), memory_gb: 80, link: "sxm".into() };
        assert_eq!(kind.hardware_id(2).as_str(), "2x_nvidia_h100_80gb_sxm");
        assert_eq!(kind.gpu_type(), "h100-80gb");
        assert_eq!(kind.hardware_id(2).kind_name(), "nvidia_h100_80gb_sxm");
        assert!(kind.is_named("nvidia_h100_80gb_sxm"));
        for other in
            ["nvidia_h100_80gb", "nvidia_h100_80gb_sxm5", "nvidia_h100_8gb_sxm", "nvidia_h10_80gb_sxm", ""]
        {
            assert!(!kind.is_named(other), "{other}");
        }
    }

    fn h100(foreign_bytes: u64) -> Device {
        Device {
            id: DeviceId::local("GPU-0"),
            kind: DeviceKind { product: "nvidia_h100".into(), memory_gb: 80, link: "sxm".into() },
            index: 0,
            health: Health::Healthy,
            memory_total_bytes: 80 << 30,
            foreign_bytes,
            foreign_processes: Vec::new(),
            leftover_bytes: 0,
            barred: None,
        }
    }

    #[test]
    fn device_that_a_stranger_uses_takes_nothing_though_memory_is_left() {
        assert!(h100(0).can_take(1));
        assert!(h100(600 << 20).can_take(1), "a display or what the driver reserves");
        assert!(h100(8 << 30).can_take(1));
        assert!(!h100((8 << 30) + 1).can_take(0));
        assert!(!h100(72 << 30).can_take(86 << 20));
        let small = |foreign| Device { memory_total_bytes: 2 << 30, ..h100(foreign) };
        assert!(small(1 << 30).can_take(1 << 30), "on a small one, memory alone decides");
        assert!(!small(1 << 30).can_take((1 << 30) + 1));
        let core = DeviceKind { product: "cpu".into(), memory_gb: 80, link: String::new() };
        assert!(Device { kind: core, ..h100(72 << 30) }.can_take(1), "cores are shared anyway");
    }

    #[test]
    fn device_that_is_barred_takes_nothing_and_one_bar_stands_for_its_kind() {
        let bar = Bar { cause: BarCause::EngineLacksGpu, what: "w".into(), cure: "c".into() };
        let barred = Device { barred: Some(bar.clone()), ..h100(0) };
        assert!(!barred.can_take(0));
        let all = |devices| Inventory { devices, troubles: Vec::new() };
        let name = "nvidia_h100_80gb_sxm";
        assert_eq!(all(vec![barred.clone(), barred.clone()]).bar(name), Some(&bar));
        assert_eq!(all(vec![barred.clone(), h100(0)]).bar(name), None);
        assert_eq!(all(vec![barred]).bar("cpu_8gb"), None);
    }

    #[test]
    fn a_short_name_means_the_one_kind_it_can_mean() {
        let device = |product: &str, memory_gb, link: &str, index| Device {
            id: DeviceId::local(format!("{product}-{memory_gb}-{index}")),
            kind: DeviceKind { product: product.into(), memory_gb, link: link.into() },
            index,
            health: Health::Healthy,
            memory_total_bytes: 1,
            foreign_bytes: 0,
            foreign_processes: Vec::new(),
            leftover_bytes: 0,
            barred: None,
        };
        let inventory = Inventory {
            devices: vec![
                device("nvidia_l40", 48, "pcie", 0),
                device("nvidia_l40", 48, "pcie", 1),
                device("nvidia_l40s", 48, "pcie", 0),
                device("nvidia_a100", 40, "pcie", 0),
                device("nvidia_a100", 80, "pcie", 0),
                device("cpu", 8, "", 0),
            ],
            troubles: Vec::new(),
        };
        let meant =
            |text: &str| inventory.config(&HardwareId::parse(text).unwrap()).map(|it| it.id.to_string());
        let l40 = Some("1x_nvidia_l40_48gb_pcie".to_owned());
        for short in ["1x_nvidia_l40_48gb_pcie", "1x_nvidia_l40_48gb", "1x_nvidia_l40_pcie", "1x_nvidia_l40"]
        {
            assert_eq!(meant(short), l40, "{short}");
        }
        assert_eq!(meant("2x_nvidia_l40").unwrap(), "2x_nvidia_l40_48gb_pcie");
        assert_eq!(meant("1x_nvidia_a100_80gb").unwrap(), "1x_nvidia_a100_80gb_pcie");
        assert_eq!(meant("1x_cpu").unwrap(), "1x_cpu_8gb");
        for none in [
            "3x_nvidia_l40",
            "1x_nvidia_a100",
            "1x_nvidia_a100_pcie",
            "1x_nvidia",
            "1x_nvidia_l40_sxm",
            "2x_cpu",
        ] {
            assert_eq!(meant(none), None, "{none}");
        }
    }
}

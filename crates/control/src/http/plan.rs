//! What a create would do, with the arithmetic: `POST /v1/endpoints?dry_run=true`.

use dedi_api::EndpointPlan;
use dedi_domain::fit::{Fit, MemoryNeed, ModelFacts, Serving, bytes_per_device, fit};
use dedi_domain::words::{count, is_or_are};
use dedi_domain::{DeviceId, HardwareConfig, HardwareId, Inventory, ModelName};

use crate::shared::Shared;

/// How one model suits one configuration of this host now.
pub(super) struct Sizes {
    pub(super) serving: Serving,
    pub(super) need: MemoryNeed,
    pub(super) fit: Fit,
    /// The smallest configuration that could hold it.
    pub(super) nearest: Option<HardwareId>,
}

impl Sizes {
    pub(super) fn of(
        shared: &Shared,
        facts: &ModelFacts,
        hardware: &HardwareConfig,
        inventory: &Inventory,
    ) -> Self {
        let (serving, need) = shared.need(facts);
        let taken = taken(shared);
        let judge = |config: &HardwareConfig| fit(need, config, inventory, |it| taken.contains(it));
        let nearest = inventory
            .catalog()
            .into_iter()
            .filter(|it| matches!(judge(it), Fit::Fits { .. }) && inventory.bar(&it.kind.name()).is_none())
            // The same kind of device first, then as few devices as possible.
            .min_by_key(|it| (it.kind != hardware.kind, it.count, it.id.clone()))
            .map(|it| it.id);
        Self { serving, need, fit: judge(hardware), nearest }
    }
}

/// Devices held by replicas.
pub(super) fn taken(shared: &Shared) -> std::collections::BTreeSet<DeviceId> {
    let world = shared.world();
    let held = world.endpoints.iter().flat_map(|it| &it.replicas).flat_map(|it| &it.row.devices);
    held.chain(&world.aside.devices).cloned().collect()
}

/// Whether another endpoint is served before one that would be made now.
pub(super) fn has_queue(shared: &Shared, hardware: &HardwareConfig) -> bool {
    dedi_domain::reconcile::has_queue(&shared.world(), &hardware.kind.name())
}

pub(super) fn plan(
    shared: &Shared,
    model: &ModelName,
    facts: &ModelFacts,
    hardware: &HardwareConfig,
    inventory: &Inventory,
    idle: String,
) -> EndpointPlan {
    let Sizes { serving, need, fit, nearest } = Sizes::of(shared, facts, hardware, inventory);
    let taken = taken(shared);
    let of_kind: Vec<_> = inventory.devices.iter().filter(|it| it.kind == hardware.kind).collect();
    let free = of_kind.iter().filter(|it| it.can_take(0) && !taken.contains(&it.id));
    let mut available: Vec<u64> = free.map(|it| it.available_bytes()).collect();
    available.sort_unstable_by(|a, b| b.cmp(a));
    available.truncate(hardware.count as usize);
    let available_bytes = available.iter().fold(0_u64, |sum, it| sum.saturating_add(*it));
    let n_available = u32::try_from(available.len()).unwrap_or(u32::MAX);
    let needs = gib(need.total_bytes());
    let (fits, can_start_now, message) = match fit {
        Fit::TooSmall { total_bytes } => {
            let has = gib(total_bytes);
            (false, false, format!("{} is too small: a replica needs {needs}, it has {has}", hardware.id))
        }
        Fit::Fits { n_free, n_needed } if n_free >= n_needed && has_queue(shared, hardware) => (
            true,
            false,
            format!(
                "it fits and {} free, but an endpoint that asked earlier for this kind of device is served first; \
                 it would wait as PENDING",
                so_many(n_free, "suitable device")
            ),
        ),
        Fit::Fits { n_free, n_needed } if n_free >= n_needed => (
            true,
            true,
            format!(
                "a replica needs {needs} and {} free; it starts at once",
                so_many(n_free, "suitable device")
            ),
        ),
        Fit::Fits { n_free, n_needed } => (
            true,
            false,
            format!(
                "it fits, but {} needed and {} free now; it would wait as PENDING",
                so_many(n_needed, "device"),
                so_many(n_free, "suitable one")
            ),
        ),
    };
    // Whatever the memory: a create is refused.
    let (fits, can_start_now, message) = match inventory.bar(&hardware.kind.name()) {
        Some(bar) => (false, false, format!("{} can't be used: {}; {}", hardware.id, bar.what, bar.cure)),
        None => (fits, can_start_now, message),
    };
    EndpointPlan {
        object: "endpoint.plan".to_owned(),
        model: model.to_string(),
        hardware: hardware.id.to_string(),
        fits,
        can_start_now,
        message,
        idle,
        needed_bytes: need.total_bytes(),
        needed_bytes_per_device: bytes_per_device(need, hardware.count),
        weights_bytes: need.weights_bytes,
        kv_cache_bytes: need.kv_cache_bytes,
        compute_bytes: need.compute_bytes,
        margin_bytes: need.margin_bytes,
        available_bytes,
        devices_needed: hardware.count,
        devices_free: n_available,
        context_tokens: serving.context_tokens,
        slots: serving.slots,
        nearest_hardware: nearest.map(|it| it.to_string()),
    }
}

/// Bytes for people: `1.5 GiB`, `300 MiB`.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
pub(crate) fn gib(bytes: u64) -> String {
    if bytes >= 1 << 30 {
        format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
    } else {
        format!("{} MiB", bytes.div_ceil(1 << 20))
    }
}

/// `1 device is`, `2 devices are`.
fn so_many(n: u32, noun: &str) -> String {
    format!("{} {}", count(u64::from(n), noun), is_or_are(u64::from(n)))
}

//! `GET /v1/hardware` and the zones: what this host has, and with `?model=` what of it could hold that model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::{
    AvailabilityZones, Hardware, HardwareAvailability, HardwarePricing, HardwareSpecs, HardwareUsage, List,
};
use dedi_domain::fit::{Fit, fit};
use dedi_domain::hardware::Health;
use dedi_domain::model_rights::ModelAct;
use dedi_domain::reconcile::World;
use dedi_domain::{Device, DeviceId, DeviceKind, HardwareConfig, Inventory, ModelName, Owner};

use super::auth::Caller;
use super::body::Query;
use super::deployable::{deployable, no_model};
use super::error::ApiError;
use super::{model_rights, plan};
use crate::shared::Shared;

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    query: Query,
) -> Result<Json<List<Hardware>>, ApiError> {
    let need = match query.get("model") {
        Some(named) => {
            let model = ModelName::parse(named).map_err(|_malformed| no_model(named))?;
            model_rights::must(&shared, &caller, &model, ModelAct::See).await?;
            Some(shared.need(&deployable(&shared, &model).await?).1)
        }
        None => None,
    };
    let inventory = inventory(&shared).await?;
    let world = shared.world();
    let taken = plan::taken(&shared);
    let mut data = Vec::new();
    for config in inventory.catalog() {
        let availability = match need.map(|it| fit(it, &config, &inventory, |id| taken.contains(id))) {
            None => None,
            Some(Fit::TooSmall { .. }) => continue,
            Some(Fit::Fits { n_free, n_needed }) => {
                let is_next = !plan::has_queue(&shared, &config);
                Some(availability(n_free, n_needed, is_next))
            }
        };
        data.push(hardware(&shared, &config, availability, &inventory, &world, &taken, &caller.0.owner));
    }
    Ok(Json(List::new(data)))
}

pub(super) async fn zones(State(shared): State<Arc<Shared>>, _caller: Caller) -> Json<AvailabilityZones> {
    let zones: BTreeSet<String> = shared.config.zones.iter().cloned().collect();
    Json(AvailabilityZones { avzones: zones.into_iter().collect() })
}

/// The devices of the last look; before the first one that succeeded, the runtime is asked.
pub(super) async fn inventory(shared: &Shared) -> Result<Inventory, ApiError> {
    let last = &shared.world().inventory;
    if !last.devices.is_empty() {
        return Ok(last.clone());
    }
    shared.runtime.inventory().await.map_err(|err| {
        tracing::warn!("the devices can't be measured: {}", crate::reconciler::chain(&err));
        ApiError::Unavailable("This host's devices can't be measured now".to_owned())
    })
}

fn availability(n_free: u32, n_needed: u32, is_next: bool) -> HardwareAvailability {
    let status = if n_free >= n_needed && is_next {
        "available"
    } else if n_free > 0 {
        "insufficient"
    } else {
        "unavailable"
    };
    HardwareAvailability { status: status.to_owned() }
}

fn hardware(
    shared: &Shared,
    config: &HardwareConfig,
    availability: Option<HardwareAvailability>,
    inventory: &Inventory,
    world: &World,
    taken: &BTreeSet<DeviceId>,
    owner: &Owner,
) -> Hardware {
    let kind = &config.kind;
    Hardware {
        object: "hardware".to_owned(),
        id: config.id.to_string(),
        pricing: HardwarePricing { cents_per_minute: shared.config.cents_per_minute(&config.id) },
        specs: HardwareSpecs {
            gpu_type: kind.gpu_type(),
            gpu_link: kind.link.clone(),
            gpu_memory: f64::from(kind.memory_gb),
            gpu_count: config.count,
        },
        availability,
        updated_at: shared.clock.show(world.now),
        usage: Some(usage(kind, inventory, world, taken, owner)),
    }
}

fn usage(
    kind: &DeviceKind,
    inventory: &Inventory,
    world: &World,
    taken: &BTreeSet<DeviceId>,
    owner: &Owner,
) -> HardwareUsage {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let of_kind: Vec<_> = inventory.devices.iter().filter(|it| it.kind == *kind).collect();
    let free = of_kind.iter().filter(|it| it.can_take(0) && !taken.contains(&it.id));
    let ids: BTreeSet<&DeviceId> = of_kind.iter().map(|it| &it.id).collect();
    let ours = world
        .endpoints
        .iter()
        .filter(|it| it.replicas.iter().flat_map(|it| &it.row.devices).any(|it| ids.contains(it)))
        .map(|it| {
            let is_own = it.desired.owner == *owner;
            match (is_own, it.desired.deleted) {
                (true, false) => it.desired.name.to_string(),
                // No other route knows it any more.
                (true, true) => format!("{} (being deleted)", it.desired.name),
                (false, _) => "another tenant".to_owned(),
            }
        });
    let foreign = of_kind.iter().flat_map(|it| it.foreign_processes.iter().cloned());
    let used_by: BTreeSet<String> = ours.chain(foreign).collect();
    HardwareUsage {
        devices: count(of_kind.len()),
        free: count(free.count()),
        used_by: used_by.into_iter().collect(),
        unusable: unusable(&of_kind),
    }
}

/// What keeps replicas from devices of one kind: `4 of 4: …; build …`.
fn unusable(of_kind: &[&Device]) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for device in of_kind {
        let why = match (&device.health, &device.barred) {
            (Health::Faulty(what) | Health::Unknown(what), _) => what.clone(),
            (Health::Healthy, Some(bar)) => format!("{}; {}", bar.what, bar.cure),
            (Health::Healthy, None) => continue,
        };
        *counts.entry(why).or_default() += 1;
    }
    let n_all = of_kind.len();
    let each: Vec<String> = counts.into_iter().map(|(why, n)| format!("{n} of {n_all}: {why}")).collect();
    (!each.is_empty()).then(|| each.join(". "))
}

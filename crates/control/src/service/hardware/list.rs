//! Lists the hardware on offer; with a model, what of it could hold that model.

use std::collections::{BTreeMap, BTreeSet};

use dedi_domain::fit::Fit;
use dedi_domain::hardware::Health;
use dedi_domain::model_rights::ModelAct;
use dedi_domain::{Device, DeviceId, HardwareConfig, Inventory, ModelName, Owner, Timestamp};

use super::{Capacity, Hardware};
use crate::service::caller::Caller;
use crate::service::error::ServiceError;

/// One hardware on offer.
pub(crate) struct Offer {
    pub(crate) config: HardwareConfig,
    pub(crate) cents_per_minute: f64,
    /// For the model that was asked about.
    pub(crate) availability: Option<Availability>,
    /// When this was seen.
    pub(crate) seen_at: Timestamp,
    pub(crate) n_devices: usize,
    pub(crate) n_free: usize,
    /// The endpoints, accounts and foreign programs on its devices.
    pub(crate) used_by: BTreeSet<String>,
    /// What keeps replicas from its devices: `4 of 4: …; build …`.
    pub(crate) unusable: Option<String>,
}

/// Whether a replica would start now.
pub(crate) enum Availability {
    Now,
    /// Some devices are free, but too few, or others are served first.
    Later,
    NoneFree,
}

impl Hardware {
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        for_model: Option<&ModelName>,
    ) -> Result<Vec<Offer>, ServiceError> {
        let need = match for_model {
            Some(model) => {
                self.models.must(caller, model, ModelAct::See).await?;
                Some(self.config.need(&self.models.deployable(model).await?).1)
            }
            None => None,
        };
        let inventory = self.inventory().await?;
        let capacity = self.capacity(&inventory);
        let mut offers = Vec::new();
        for config in inventory.catalog() {
            let availability = match need.map(|it| capacity.fit(it, &config)) {
                None => None,
                Some(Fit::TooSmall { .. }) => continue,
                Some(Fit::Fits { n_free, n_needed }) => {
                    Some(availability(n_free, n_needed, !capacity.has_queue(&config)))
                }
            };
            offers.push(self.offer(config, availability, &inventory, &capacity, caller.owner()));
        }
        Ok(offers)
    }

    fn offer(
        &self,
        config: HardwareConfig,
        availability: Option<Availability>,
        inventory: &Inventory,
        capacity: &Capacity<'_>,
        owner: &Owner,
    ) -> Offer {
        let of_kind: Vec<_> = inventory.devices.iter().filter(|it| it.kind == config.kind).collect();
        let is_free = |it: &&&Device| it.can_take(0) && !capacity.is_taken(&it.id);
        Offer {
            cents_per_minute: self.config.cents_per_minute(&config.id),
            availability,
            seen_at: capacity.world.now,
            n_devices: of_kind.len(),
            n_free: of_kind.iter().filter(is_free).count(),
            used_by: used_by(&of_kind, capacity, owner),
            unusable: unusable(&of_kind),
            config,
        }
    }
}

fn availability(n_free: u32, n_needed: u32, is_next: bool) -> Availability {
    if n_free >= n_needed && is_next {
        Availability::Now
    } else if n_free > 0 {
        Availability::Later
    } else {
        Availability::NoneFree
    }
}

fn used_by(of_kind: &[&Device], capacity: &Capacity<'_>, owner: &Owner) -> BTreeSet<String> {
    let ids: BTreeSet<&DeviceId> = of_kind.iter().map(|it| &it.id).collect();
    let endpoints = capacity.world.endpoints.iter();
    let ours = endpoints
        .filter(|it| it.replicas.iter().flat_map(|it| &it.row.devices).any(|it| ids.contains(it)))
        .map(|it| {
            let is_own = it.desired.owner == *owner;
            match (is_own, it.desired.deleted) {
                (true, false) => it.desired.name.to_string(),
                // Nothing else shows it any more.
                (true, true) => format!("{} (being deleted)", it.desired.name),
                (false, _) => "another tenant".to_owned(),
            }
        });
    let foreign = of_kind.iter().flat_map(|it| it.foreign_processes.iter().cloned());
    ours.chain(foreign).collect()
}

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

use std::collections::BTreeMap;

use async_trait::async_trait;
use dedi_domain::usage::{Period, Usage};
use dedi_domain::{HardwareId, Owner, Timestamp};

use super::MemoryStore;
use super::rows::Ran;
use crate::store::{EndpointKey, EndpointUsage, StoreError, UsageStore};

impl Ran {
    fn is_of(&self, owner: &Owner, key: Option<&EndpointKey>) -> bool {
        self.owner == *owner
            && match key {
                None => true,
                Some(EndpointKey::Id(id)) => self.endpoint == *id,
                Some(EndpointKey::Name(name)) => self.name == name.as_str(),
            }
    }
}

#[async_trait]
impl UsageStore for MemoryStore {
    async fn usage(
        &self,
        owner: &Owner,
        period: Period,
        only: Option<&EndpointKey>,
        _price: &(dyn for<'a> Fn(&'a HardwareId) -> f64 + Send + Sync),
    ) -> Result<Vec<EndpointUsage>, StoreError> {
        let tables = self.read()?;
        let mut sums: BTreeMap<String, EndpointUsage> = BTreeMap::new();
        for it in tables.usage.values().filter(|it| it.is_of(owner, only)) {
            let sum = sums.entry(it.endpoint.to_string()).or_insert_with_key(|endpoint| EndpointUsage {
                endpoint: endpoint.clone(),
                name: it.name.clone(),
                model: it.model.clone(),
                hardware: it.hardware.clone(),
                usage: Usage::default(),
                is_running: false,
                newest: it.ready_at,
            });
            let cents_per_minute = it.cents_per_minute;
            let ran = dedi_domain::usage::Ran { from: it.ready_at, until: it.until, cents_per_minute };
            sum.usage.add(&ran, period);
            sum.is_running |= !it.is_closed;
            sum.newest = sum.newest.max(it.ready_at);
        }
        let mut sums: Vec<EndpointUsage> =
            sums.into_values().filter(|it| it.usage != Usage::default()).collect();
        sums.sort_by(|one, two| two.newest.cmp(&one.newest).then_with(|| one.endpoint.cmp(&two.endpoint)));
        Ok(sums)
    }

    async fn has_usage(&self, owner: &Owner, key: &EndpointKey) -> Result<bool, StoreError> {
        Ok(self.read()?.usage.values().any(|it| it.is_of(owner, Some(key))))
    }

    async fn forget_usage(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut tables = self.write()?;
        let n_all = tables.usage.len();
        tables.usage.retain(|_, it| !it.is_closed || it.until >= before);
        Ok((n_all - tables.usage.len()) as u64)
    }
}

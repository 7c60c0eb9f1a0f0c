use std::collections::BTreeMap;

use async_trait::async_trait;
use dedi_domain::{EndpointId, Timestamp};

use super::MemoryStore;
use crate::store::{EventKind, PinStore, StoreError};

#[async_trait]
impl PinStore for MemoryStore {
    async fn model_pins(&self) -> Result<BTreeMap<EndpointId, String>, StoreError> {
        Ok(self.read()?.pins.clone())
    }

    async fn model_pin(&self, endpoint: EndpointId) -> Result<Option<String>, StoreError> {
        Ok(self.read()?.pins.get(&endpoint).cloned())
    }

    async fn pin_model(&self, endpoint: EndpointId, pin: &str) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        if !tables.endpoints.contains_key(&endpoint) {
            return Err(StoreError::Value("a pin of no endpoint".to_owned()));
        }
        tables.pins.entry(endpoint).or_insert_with(|| pin.to_owned());
        Ok(())
    }

    async fn repin_model(
        &self,
        endpoint: EndpointId,
        pin: &str,
        message: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        let Some(known) = tables.pins.get_mut(&endpoint).filter(|it| *it != pin) else { return Ok(()) };
        pin.clone_into(known);
        tables.add_event(now, endpoint, None, EventKind::ModelChanged, message);
        Ok(())
    }

    async fn tell_model_changed(
        &self,
        endpoint: EndpointId,
        message: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        let is_change = |(of, it): &&(EndpointId, _)| {
            let it: &crate::store::EventRecord = it;
            *of == endpoint && it.kind == EventKind::ModelChanged.as_str()
        };
        let last = tables.events.iter().rev().find(is_change);
        if last.is_none_or(|(_, it)| it.message != message) {
            tables.add_event(now, endpoint, None, EventKind::ModelChanged, message);
        }
        Ok(())
    }
}

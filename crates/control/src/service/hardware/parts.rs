//! What the use cases of hardware need, and what they look at.

use std::collections::BTreeSet;
use std::sync::Arc;

use dedi_domain::{Inventory, with_causes};
use dedi_runtime_api::Runtime;

use super::Capacity;
use crate::config::ControlConfig;
use crate::last_pass::LastPass;
use crate::service::error::ServiceError;
use crate::service::models::Models;

pub(crate) struct Hardware {
    pub(super) config: Arc<ControlConfig>,
    runtime: Arc<dyn Runtime>,
    last_pass: Arc<LastPass>,
    pub(super) models: Arc<Models>,
}

impl Hardware {
    pub(crate) fn new(
        config: Arc<ControlConfig>,
        runtime: Arc<dyn Runtime>,
        last_pass: Arc<LastPass>,
        models: Arc<Models>,
    ) -> Self {
        Self { config, runtime, last_pass, models }
    }

    /// The zones this host is in, in order.
    pub(crate) fn zones(&self) -> Vec<String> {
        let zones: BTreeSet<String> = self.config.zones.iter().cloned().collect();
        zones.into_iter().collect()
    }

    /// The devices as the last pass saw them; before the first that succeeded, the runtime is asked.
    pub(crate) async fn inventory(&self) -> Result<Inventory, ServiceError> {
        let last = &self.last_pass.world().inventory;
        if !last.devices.is_empty() {
            return Ok(last.clone());
        }
        self.runtime.inventory().await.map_err(|err| {
            tracing::warn!("the devices can't be measured: {}", with_causes(&err));
            ServiceError::unavailable("This host's devices can't be measured now")
        })
    }

    /// How a model suits hardware of this host now.
    pub(crate) fn capacity<'a>(&self, inventory: &'a Inventory) -> Capacity<'a> {
        Capacity::new(self.last_pass.world(), inventory)
    }
}

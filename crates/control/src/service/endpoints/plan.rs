//! What a create would do, with the arithmetic.

use dedi_domain::fit::{Fit, MemoryNeed, Serving};
use dedi_domain::idle::outlook;
use dedi_domain::model_rights::ModelAct;
use dedi_domain::plural::{count, is_or_are};
use dedi_domain::{HardwareConfig, HardwareId, ModelName};

use super::create::{check, hardware};
use super::{EndpointRequest, Endpoints};
use crate::service::caller::Caller;
use crate::service::error::ServiceError;
use crate::service::hardware::Capacity;
use crate::text::gib;

/// What a create would do now.
pub(crate) struct Plan {
    pub(crate) model: ModelName,
    pub(crate) hardware: HardwareConfig,
    pub(crate) fits: bool,
    pub(crate) can_start_now: bool,
    pub(crate) message: String,
    /// When it would stop for being idle.
    pub(crate) idle: String,
    pub(crate) need: MemoryNeed,
    pub(crate) serving: Serving,
    /// Free bytes of each device that it could get, most first.
    pub(crate) available_bytes: Vec<u64>,
    /// The smallest hardware that could hold it.
    pub(crate) nearest: Option<HardwareId>,
}

impl Endpoints {
    pub(crate) async fn plan(&self, caller: &Caller, request: EndpointRequest) -> Result<Plan, ServiceError> {
        caller.must_change()?;
        let checked = check(&self.config, request)?;
        self.models.must(caller, &checked.model, ModelAct::Deploy).await?;
        let facts = self.models.deployable(&checked.model).await?;
        let inventory = self.hardware.inventory().await?;
        let hardware = hardware(&checked.hardware, &inventory)?;
        let (serving, need) = self.config.need(&facts);
        let capacity = self.hardware.capacity(&inventory);
        let (fits, can_start_now, message) = match inventory.bar(&hardware.kind.name()) {
            // Whatever the memory: a create is refused.
            Some(bar) => (false, false, format!("{} can't be used: {}; {}", hardware.id, bar.what, bar.cure)),
            None => outcome(need, &hardware, &capacity),
        };
        let delay = self.config.policy().scale_down_delay;
        Ok(Plan {
            fits,
            can_start_now,
            message,
            idle: outlook(
                checked.replicas.min(),
                checked.inactive_timeout_minutes,
                checked.timeout_by,
                delay,
            ),
            need,
            serving,
            available_bytes: capacity.available_bytes(&hardware),
            nearest: capacity.nearest(need, &hardware),
            model: checked.model,
            hardware,
        })
    }
}

/// Whether it fits, whether it would start now, and the sentence that says both.
fn outcome(need: MemoryNeed, hardware: &HardwareConfig, capacity: &Capacity<'_>) -> (bool, bool, String) {
    let needs = gib(need.total_bytes());
    match capacity.fit(need, hardware) {
        Fit::TooSmall { total_bytes } => {
            let has = gib(total_bytes);
            (false, false, format!("{} is too small: a replica needs {needs}, it has {has}", hardware.id))
        }
        Fit::Fits { n_free, n_needed } if n_free >= n_needed && capacity.has_queue(hardware) => (
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
    }
}

/// `1 device is`, `2 devices are`.
fn so_many(n: u32, noun: &str) -> String {
    format!("{} {}", count(u64::from(n), noun), is_or_are(u64::from(n)))
}

//! Whether hardware that a create names can be had here at all.

use dedi_domain::{BarCause, HardwareConfig, HardwareId, Inventory, Trouble};

use crate::service::error::{ServiceError, Unsupported};

/// Hardware of that name is not among what this host has; or it may be, and the GPUs' driver does not say so.
pub(crate) fn unlisted(id: &HardwareId, inventory: &Inventory) -> ServiceError {
    match inventory.troubles.first() {
        Some(Trouble { node: _, what, cure }) if !id.kind_name().starts_with("cpu_") => {
            ServiceError::Unsupported {
                by: Unsupported::GpuDriverFailed,
                message: format!(
                    "Hardware {id} can't be offered: {what}; {cure}. `dedi doctor` on the server's host tells more"
                ),
            }
        }
        Some(_) | None => ServiceError::UnknownHardware(id.to_string()),
    }
}

/// Refuses hardware that no replica could use.
pub(crate) fn must_be_usable(hardware: &HardwareConfig, inventory: &Inventory) -> Result<(), ServiceError> {
    let Some(bar) = inventory.bar(&hardware.kind.name()) else { return Ok(()) };
    Err(ServiceError::Unsupported {
        by: match bar.cause {
            BarCause::EngineLacksGpu => Unsupported::EngineLacksGpu,
            BarCause::Divided => Unsupported::DividedGpu,
        },
        message: format!("Hardware {} can't be used: {}; {}", hardware.id, bar.what, bar.cure),
    })
}

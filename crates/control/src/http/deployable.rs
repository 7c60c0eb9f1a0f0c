//! Whether a model can be deployed on this host: it is here, whole and of a known kind, and it fits.

use dedi_api::RefusalCode;
use dedi_domain::fit::{Fit, ModelFacts};
use dedi_domain::{BarCause, HardwareConfig, HardwareId, Inventory, ModelName, Trouble};

use super::error::ApiError;
use super::fields::shown;
use super::plan::{self, gib};
use crate::models::{ModelError, NoAnswer, READ_MAX};
use crate::shared::Shared;

pub(super) fn no_model(named: &str) -> ApiError {
    ApiError::NotFound(format!(
        "Model {} not found; GET /v1/models lists those that can be deployed",
        shown(named)
    ))
}

pub(super) fn no_hardware(named: &str) -> ApiError {
    ApiError::field(
        "hardware",
        format!(
            "Invalid hardware provided: {}. Check the hardware API (GET /v1/hardware) for what this host has",
            shown(named)
        ),
    )
}

/// Hardware of that name is not among what this host has; or it may be, and the GPUs' driver does not say so.
pub(super) fn unlisted_hardware(id: &HardwareId, inventory: &Inventory) -> ApiError {
    match inventory.troubles.first() {
        Some(Trouble { node: _, what, cure }) if !id.kind_name().starts_with("cpu_") => ApiError::Invalid {
            message: format!(
                "Hardware {id} can't be offered: {what}; {cure}. `dedi doctor` on the server's host tells more"
            ),
            param: Some("hardware".to_owned()),
            code: Some(RefusalCode::GpuDriverFailed),
        },
        Some(_) | None => no_hardware(id.as_str()),
    }
}

/// Refuses hardware that no replica could use.
pub(super) fn must_be_usable(hardware: &HardwareConfig, inventory: &Inventory) -> Result<(), ApiError> {
    let Some(bar) = inventory.bar(&hardware.kind.name()) else { return Ok(()) };
    Err(ApiError::Invalid {
        message: format!("Hardware {} can't be used: {}; {}", hardware.id, bar.what, bar.cure),
        param: Some("hardware".to_owned()),
        code: match bar.cause {
            BarCause::EngineLacksGpu => Some(RefusalCode::EngineLacksGpu),
            BarCause::Divided => None,
        },
    })
}

/// What the model's files say, or why it can't be deployed.
pub(super) async fn deployable(shared: &Shared, model: &ModelName) -> Result<ModelFacts, ApiError> {
    let name = model.clone();
    let facts = shared.read_models(READ_MAX, move |models| models.facts(&name)).await.map_err(no_answer)?;
    facts.map_err(|err| not_deployable(model, err))
}

/// Why a model can't be used.
pub(super) fn not_deployable(model: &ModelName, err: ModelError) -> ApiError {
    match err {
        ModelError::Absent(_) => no_model(model.as_str()),
        ModelError::Unreadable(why) => ApiError::Unavailable(format!(
            "Model {model} can't be read now: {why}; nothing was changed, try again when its files can be read"
        )),
        ModelError::Unusable(why) => ApiError::Invalid {
            message: format!("Model {model} is not supported: {why}"),
            param: Some("model".to_owned()),
            code: Some(RefusalCode::ModelUnusable),
        },
    }
}

/// The model store gave no answer.
pub(super) fn no_answer(why: NoAnswer) -> ApiError {
    tracing::warn!("a request could not be served: {why}");
    match why {
        NoAnswer::Late(_) => ApiError::Unavailable(format!("The server can't do this now: {why}")),
        NoAnswer::Panicked => ApiError::Internal,
    }
}

pub(super) fn must_fit(
    shared: &Shared,
    facts: &ModelFacts,
    hardware: &HardwareConfig,
    inventory: &Inventory,
) -> Result<(), ApiError> {
    let plan = plan::Sizes::of(shared, facts, hardware, inventory);
    match plan.fit {
        Fit::Fits { .. } => Ok(()),
        Fit::TooSmall { total_bytes } => {
            let nearest = match &plan.nearest {
                Some(id) => format!("the smallest that fits is {id}"),
                None => "nothing on this host is large enough".to_owned(),
            };
            Err(ApiError::NotFound(format!(
                "Hardware {} is not available for this model: a replica needs {}, it has {}; {nearest}. \
                 Check the hardware API (GET /v1/hardware?model=…)",
                hardware.id,
                gib(plan.need.total_bytes()),
                gib(total_bytes)
            )))
        }
    }
}

//! Whether a model can be deployed on this host: it is here, whole and of a known kind, and it fits.

use dedi_api::RefusalCode;
use dedi_domain::fit::{Fit, ModelFacts};
use dedi_domain::{HardwareConfig, Inventory, ModelName};

use super::error::ApiError;
use super::fields::shown;
use super::plan::{self, gib};
use crate::models::ModelError;
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

/// What the model's files say, or why it can't be deployed.
pub(super) async fn deployable(shared: &Shared, model: &ModelName) -> Result<ModelFacts, ApiError> {
    shared.facts(model).await.map_err(|err| match err {
        ModelError::Absent(_) => no_model(model.as_str()),
        ModelError::Unusable(why) => ApiError::Invalid {
            message: format!("Model {model} is not supported: {why}"),
            param: Some("model".to_owned()),
            code: Some(RefusalCode::ModelUnusable),
        },
    })
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

//! Why a use case was refused, by what a caller can do about it. Each prints as one sentence; causes go to the log. A
//! surface translates the variants, and may say more in its own words, such as which route helps.

use std::time::Duration;

use dedi_domain::{HardwareId, ModelName, with_causes};

use crate::models::{ModelError, NoAnswer};
use crate::store::StoreError;
use crate::text::{gib, shown};

/// When it is worth trying again: a full disk or a backup's lock takes about that long.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a use case was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum ServiceError {
    /// Nothing of that name for this caller; what is another tenant's is as absent as what never was.
    #[error(transparent)]
    NotFound(#[from] Absent),
    /// A value that can't be taken. The sentence names the limit, or what would work.
    #[error("{message}")]
    Invalid {
        /// The value's path.
        field: &'static str,
        message: String,
    },
    /// No hardware of this host has that name.
    #[error("Invalid hardware provided: {}", shown(.0))]
    UnknownHardware(String),
    /// It contradicts something that is there; the sentence says what to do first.
    #[error("{message}")]
    Conflict { with: Conflict, message: String },
    /// This host can't do that as it is set up now; the sentence says how it could.
    #[error("{message}")]
    Unsupported { by: Unsupported, message: String },
    /// A valid key without the right to do it.
    #[error("{0}")]
    Forbidden(String),
    /// The account has as many as it may have.
    #[error("This account has {n} {what}, which is the most it may have; delete one")]
    Quota { what: &'static str, n: usize },
    /// It may work in a moment; nothing was changed.
    #[error("{message}")]
    Unavailable { message: String, retry_after: Duration },
    /// Our fault; the log has the cause.
    #[error("The server failed; its log has more")]
    Internal,
}

/// What is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Absent {
    #[error("Endpoint {0} not found")]
    Endpoint(String),
    #[error("Model {} not found", shown(.0))]
    Model(String),
    #[error("Key {} not found", shown(.0))]
    Key(String),
    #[error("No download of {0} is known")]
    Pull(ModelName),
    #[error("No check of {0} is known")]
    Check(ModelName),
    /// A launch of an endpoint; the sentence lists those that are known.
    #[error("{0}")]
    Launch(String),
    /// Hardware that is large enough for the model.
    #[error("Hardware {hardware} is not available for this model: a replica needs {}, it has {}; {}", gib(*.needed_bytes), gib(*.total_bytes), smallest(.nearest.as_ref()))]
    Capacity { hardware: HardwareId, needed_bytes: u64, total_bytes: u64, nearest: Option<HardwareId> },
    #[error("There is no such object")]
    Object,
}

fn smallest(nearest: Option<&HardwareId>) -> String {
    match nearest {
        Some(id) => format!("the smallest that fits is {id}"),
        None => "nothing on this host is large enough".to_owned(),
    }
}

/// What a request contradicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// An earlier create with the same idempotency key and another body.
    IdempotencyKey,
    /// Endpoints that need the model.
    ModelInUse,
    /// Another download of the model.
    PullInProgress,
    /// Nobody could manage the host any more.
    LastAdminKey,
}

/// What the host can't do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsupported {
    GpuDriverFailed,
    EngineLacksGpu,
    /// The devices are divided in a way that replicas can't use.
    DividedGpu,
    ModelUnusable,
    /// A model can't be removed from a store that is read only.
    StoreReadOnlyForModel,
    /// What a model's files are can't be written down.
    StoreReadOnlyForAccept,
    Adapters,
}

impl ServiceError {
    pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { field, message: message.into() }
    }

    pub(crate) fn no_endpoint(named: &str) -> Self {
        Self::NotFound(Absent::Endpoint(named.to_owned()))
    }

    pub(crate) fn no_model(named: &str) -> Self {
        Self::NotFound(Absent::Model(named.to_owned()))
    }

    /// What a look-up of the endpoint of that id or name answered.
    pub(crate) fn of_lookup(err: StoreError, named: &str) -> Self {
        if matches!(err, StoreError::NotFound) { Self::no_endpoint(named) } else { err.into() }
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable { message: message.into(), retry_after: RETRY_AFTER }
    }

    /// Why a model can't be used.
    pub(crate) fn of_model(model: &ModelName, err: ModelError) -> Self {
        match err {
            ModelError::Absent(_) => Self::no_model(model.as_str()),
            ModelError::Unreadable(why) => Self::unavailable(format!(
                "Model {model} can't be read now: {why}; nothing was changed, try again when its files can be read"
            )),
            ModelError::Unusable(why) => Self::Unsupported {
                by: Unsupported::ModelUnusable,
                message: format!("Model {model} is not supported: {why}"),
            },
        }
    }
}

impl From<NoAnswer> for ServiceError {
    fn from(why: NoAnswer) -> Self {
        tracing::warn!("a request could not be served: {why}");
        match why {
            NoAnswer::Late(_) => Self::unavailable(format!("The server can't do this now: {why}")),
            NoAnswer::Panicked => Self::Internal,
        }
    }
}

impl From<StoreError> for ServiceError {
    fn from(err: StoreError) -> Self {
        match err {
            StoreError::Full
            | StoreError::Disk { .. }
            | StoreError::Gone { .. }
            | StoreError::Busy
            | StoreError::Overloaded
            | StoreError::Conflict
            | StoreError::Fenced
            | StoreError::Paused
            | StoreError::Closed => {
                tracing::warn!("a request could not be served: {err}");
                // Another try helps against the rest.
                let is_full = matches!(err, StoreError::Full);
                let step = if is_full { "; free some room there, then try again" } else { "" };
                Self::unavailable(format!("The server can't do this now: {err}; nothing was changed{step}"))
            }
            StoreError::NotFound => Self::NotFound(Absent::Object),
            StoreError::Corrupt { .. }
            | StoreError::Newer { .. }
            | StoreError::Unreadable { .. }
            | StoreError::Library { .. }
            | StoreError::Database(_)
            | StoreError::Value(_) => {
                tracing::error!("a request failed: {}", with_causes(&err));
                Self::Internal
            }
        }
    }
}

//! Refusals of the use cases as this generation answers them.

use dedi_api::RefusalCode;

use crate::http::error::ApiError;
use crate::service::{Absent, Conflict, ServiceError, Unsupported};

impl From<ServiceError> for ApiError {
    fn from(err: ServiceError) -> Self {
        let message = err.to_string();
        match err {
            ServiceError::NotFound(absent) => Self::NotFound(match absent {
                Absent::Model(_) => format!("{message}; GET /v1/models lists those that can be deployed"),
                Absent::Capacity { .. } => {
                    format!("{message}. Check the hardware API (GET /v1/hardware?model=…)")
                }
                Absent::Endpoint(_)
                | Absent::Key(_)
                | Absent::Pull(_)
                | Absent::Check(_)
                | Absent::Launch(_)
                | Absent::Object => message,
            }),
            ServiceError::Invalid { field, .. } => Self::field(field, message),
            ServiceError::UnknownHardware(_) => Self::field(
                "hardware",
                format!("{message}. Check the hardware API (GET /v1/hardware) for what this host has"),
            ),
            ServiceError::Conflict { with, .. } => {
                let (param, code) = of_conflict(with);
                Self::Invalid { message, param: param.map(str::to_owned), code }
            }
            ServiceError::Unsupported { by, .. } => {
                let (param, code) = of_unsupported(by);
                Self::Invalid { message, param: param.map(str::to_owned), code }
            }
            ServiceError::Forbidden(_) => Self::Forbidden(message),
            ServiceError::Quota { .. } => {
                Self::Invalid { message, param: None, code: Some(RefusalCode::QuotaExceeded) }
            }
            ServiceError::Unavailable { retry_after, .. } => Self::Unavailable { message, retry_after },
            ServiceError::Internal => Self::Internal,
        }
    }
}

/// The field and the code.
fn of_conflict(with: Conflict) -> (Option<&'static str>, Option<RefusalCode>) {
    match with {
        Conflict::IdempotencyKey => (Some("Idempotency-Key"), None),
        Conflict::ModelInUse => (Some("model"), Some(RefusalCode::ModelInUse)),
        Conflict::PullInProgress => (Some("model"), Some(RefusalCode::PullInProgress)),
        Conflict::LastAdminKey => (None, None),
    }
}

/// The field and the code.
fn of_unsupported(by: Unsupported) -> (Option<&'static str>, Option<RefusalCode>) {
    match by {
        Unsupported::GpuDriverFailed => (Some("hardware"), Some(RefusalCode::GpuDriverFailed)),
        Unsupported::EngineLacksGpu => (Some("hardware"), Some(RefusalCode::EngineLacksGpu)),
        Unsupported::DividedGpu => (Some("hardware"), None),
        Unsupported::ModelUnusable => (Some("model"), Some(RefusalCode::ModelUnusable)),
        Unsupported::StoreReadOnlyForModel => (Some("model"), Some(RefusalCode::ModelStoreReadOnly)),
        Unsupported::StoreReadOnlyForAccept => (Some("accept"), Some(RefusalCode::ModelStoreReadOnly)),
        Unsupported::Adapters => (None, Some(RefusalCode::AdaptersUnsupported)),
    }
}

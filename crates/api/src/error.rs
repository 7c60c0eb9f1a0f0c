//! The error body of every non-2xx answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `{"id":…,"error":{…}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ErrorData)]
pub struct ErrorBody {
    /// The request's id; absent on answers that come from no request of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The error itself.
    pub error: ErrorDetail,
}

/// All four members are strings or null: a number in `code` breaks the v1 SDK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// A sentence a person can act on.
    pub message: String,
    /// `invalid_request_error`, `not_found`, `server_error`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The request field it is about, as a path: `autoscaling.min_replicas`.
    #[serde(default)]
    pub param: Option<String>,
    /// A code for programs.
    #[serde(default)]
    pub code: Option<String>,
}

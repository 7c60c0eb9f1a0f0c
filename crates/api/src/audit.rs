//! `/v1/audit`: who did what to which object.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEvent {
    /// Always `audit.event`.
    pub object: String,
    /// Sequence number; later events have higher ones.
    pub id: i64,
    /// RFC 3339.
    #[schema(format = DateTime)]
    pub at: String,
    /// The tenant in whose log it is; null for the host's.
    pub owner: Option<String>,
    /// The tenant of the key that asked; null where the server, or somebody on its host, acted.
    pub by_owner: Option<String>,
    /// The key that asked, by its public part.
    pub by_key: Option<String>,
    /// What was done, such as `endpoint.create`.
    pub action: String,
    /// To what: an id, a name or a path.
    pub target: String,
    /// What else there is to say.
    pub message: String,
}

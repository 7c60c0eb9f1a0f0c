//! `/v1/whoami` and `/v3/whoami`, which the official command line asks before each command.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /v3/whoami`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoamiV3 {
    /// Always `project_api_key` here.
    #[serde(rename = "type")]
    #[schema(value_type = crate::enums::WhoamiKind)]
    pub kind: String,
    /// The API key that was used.
    pub api_key: Named,
    /// The tenant that owns the key.
    pub organization: Named,
    /// The tenant's one project.
    pub project: Project,
}

/// An id with an optional name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Named {
    /// Stable id.
    pub id: String,
    /// Name for display.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// Stable id.
    pub id: String,
    /// Name for display.
    pub name: String,
    /// Name in URLs.
    pub slug: String,
}

/// `GET /v1/whoami`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoamiV1 {
    /// The key's id.
    pub api_key_id: String,
    /// The tenant that owns the key.
    pub organization_id: String,
    /// The tenant's name.
    pub organization_name: String,
    /// Id of the tenant's one project.
    pub project_id: String,
    /// Name of the project.
    pub project_name: String,
    /// Slug of the project.
    pub project_slug: String,
    /// Always null: keys belong to tenants.
    pub user_id: Option<String>,
}

//! `/v1/whoami` and `/v3/whoami`, which the official command line asks before each command.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /v3/whoami`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoamiV3 {
    /// Always `project_api_key` here.
    #[serde(rename = "type")]
    #[schema(value_type = crate::words::WhoamiKind)]
    pub kind: String,
    /// The key.
    pub api_key: Named,
    /// The tenant.
    pub organization: Named,
    /// The tenant's one project.
    pub project: Project,
}

/// An id with an optional name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Named {
    /// The id.
    pub id: String,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// The slug.
    pub slug: String,
}

/// `GET /v1/whoami`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoamiV1 {
    /// The key's id.
    pub api_key_id: String,
    /// The tenant.
    pub organization_id: String,
    /// The tenant's name.
    pub organization_name: String,
    /// The project.
    pub project_id: String,
    /// Its name.
    pub project_name: String,
    /// Its slug.
    pub project_slug: String,
    /// Always null: keys belong to tenants.
    pub user_id: Option<String>,
}

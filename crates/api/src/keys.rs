//! `/v1/keys`: dedi's addition.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::Schema;

use crate::enums::{KeyObject, KeyRole};
use crate::openapi::texts;
use crate::read::integer;

/// What the key shall allow, whose it is, and for how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateKeyRequest {
    /// `inference`, `viewer`, `developer`, `owner` or `admin`; absent is `developer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<KeyRole>)]
    pub role: Option<String>,
    /// Tenant; only an admin may name another than its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[a-z0-9-]{1,39}$")]
    pub owner: Option<String>,
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub name: Option<String>,
    /// Days until it expires; absent is never.
    #[serde(default, deserialize_with = "integer", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 3_650)]
    pub expires_in_days: Option<i64>,
    /// What it may name: models as `ORG/NAME` or `ORG/*`, endpoints by name or id; absent is everything of its tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = entries)]
    pub models: Option<Vec<String>>,
}

fn entries() -> Schema {
    // A model, all of an organisation, an endpoint's name, or its id.
    const PART: &str = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}";
    texts(&format!("^{PART}/({PART}|\\*)$"), 100)
}

/// A key without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyInfo {
    /// Always `api_key`.
    #[schema(value_type = KeyObject)]
    pub object: String,
    /// The key's public id.
    pub id: String,
    /// Display name.
    pub name: String,
    /// The tenant that owns it.
    pub owner: String,
    /// Its role.
    #[schema(value_type = KeyRole)]
    pub role: String,
    /// RFC 3339.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// RFC 3339, or null for never.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// RFC 3339, to about a minute, or null if it was never used.
    #[serde(default)]
    #[schema(format = DateTime)]
    pub last_used_at: Option<String>,
    /// What it may name, or null for everything of its tenant.
    #[serde(default)]
    pub models: Option<Vec<String>>,
    /// The whole key; only in the answer that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

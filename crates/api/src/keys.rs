//! `/v1/keys`: dedi's addition.

use serde::{Deserialize, Serialize};

/// `POST /v1/keys`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateKeyRequest {
    /// `inference`, `viewer`, `developer`, `owner` or `admin`; absent is `developer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Tenant; only an admin may name another than its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Days until it expires; absent is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_days: Option<i64>,
}

/// A key without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// Always `api_key`.
    pub object: String,
    /// The public part.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// The tenant.
    pub owner: String,
    /// What it allows.
    pub role: String,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339, or null for never.
    pub expires_at: Option<String>,
    /// The whole key; only in the answer that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

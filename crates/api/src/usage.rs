//! `GET /v1/usage`: dedi's addition.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::enums::{ListObject, UsageObject};

/// What your endpoints ran in a period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageReport {
    /// Always `list`.
    #[schema(value_type = ListObject)]
    pub object: String,
    /// RFC 3339: the first moment that counts.
    #[schema(format = DateTime)]
    pub from: String,
    /// RFC 3339: the first moment after it.
    #[schema(format = DateTime)]
    pub to: String,
    /// An item for each endpoint that ran, deleted ones too; the one whose latest replica is the newest comes first.
    pub data: Vec<EndpointUsage>,
    /// Minutes of all that ran, also of what is beyond the items shown.
    #[schema(minimum = 0)]
    pub total_minutes: f64,
    /// Cents of all that ran.
    #[schema(minimum = 0)]
    pub total_cents: f64,
}

/// What the replicas of one endpoint ran: from ready until their end, or until they were last seen to live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointUsage {
    /// Always `usage`.
    #[schema(value_type = UsageObject)]
    pub object: String,
    /// The endpoint's id.
    pub endpoint: String,
    /// The endpoint's name.
    pub name: String,
    /// The model it served.
    pub model: String,
    /// The hardware it ran on.
    pub hardware: String,
    /// How many of its replicas ran.
    pub replicas: u64,
    /// Minutes of all of them, to the millisecond.
    #[schema(minimum = 0)]
    pub minutes: f64,
    /// What that costs at the price that each had when it became ready.
    #[schema(minimum = 0)]
    pub cents: f64,
    /// Whether one of them still runs.
    pub running: bool,
}

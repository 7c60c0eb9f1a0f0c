//! How long replicas ran, which is billed. A row begins when its replica is ready, follows while that is seen to live, and
//! is closed in the transaction that ends the attempt; none of it goes back, and nothing is added after the end.

use async_trait::async_trait;
use dedi_domain::usage::{Period, Usage};
use dedi_domain::{HardwareId, Owner, Timestamp};

use super::endpoints::EndpointKey;
use super::error::StoreError;

/// Running times. [`PassStore`](super::PassStore) writes them.
#[async_trait]
pub trait UsageStore: Send + Sync {
    /// What a tenant's replicas ran in a period, by endpoint, newest first; of one endpoint only, where `only` names
    /// one. `price` is today's, for what became ready before prices were recorded.
    async fn usage(
        &self,
        owner: &Owner,
        period: Period,
        only: Option<&EndpointKey>,
        price: &(dyn for<'a> Fn(&'a HardwareId) -> f64 + Send + Sync),
    ) -> Result<Vec<EndpointUsage>, StoreError>;

    /// Whether a running time of this endpoint of the tenant is kept: it may have been deleted since.
    async fn has_usage(&self, owner: &Owner, key: &EndpointKey) -> Result<bool, StoreError>;

    /// Removes running times that ended before `before`; answers how many went. It may leave some for the next time.
    async fn forget_usage(&self, before: Timestamp) -> Result<u64, StoreError>;
}

/// A moment by the control plane's clock and by the host's: what has passed by only one of them is not counted, since
/// a server that starts begins with a wall clock that somebody may have set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the clock.
    pub at: Timestamp,
    /// Milliseconds since the host started.
    pub uptime_ms: i64,
}

/// What is known of a replica that has become ready.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// When.
    pub at: Moment,
    /// Its isolation level.
    pub isolation: Option<u8>,
    /// Its price, all its devices together.
    pub cents_per_minute: f64,
}

/// What the replicas of one endpoint ran in a period.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointUsage {
    /// The endpoint's id.
    pub endpoint: String,
    /// The endpoint's name.
    pub name: String,
    /// The model that it served.
    pub model: String,
    /// Name of the hardware that it ran on.
    pub hardware: String,
    /// The sum.
    pub usage: Usage,
    /// Whether one of them still runs.
    pub is_running: bool,
    /// When the latest of them became ready.
    pub newest: Timestamp,
}

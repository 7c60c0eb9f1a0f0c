//! An endpoint's history.

use super::Endpoints;
use crate::service::caller::Caller;
use crate::service::error::ServiceError;
use crate::store::EventRecord;

/// Events in one answer, at most and by default.
const EVENTS_MAX: i64 = 1_000;
const EVENTS_DEFAULT: i64 = 100;

impl Endpoints {
    /// What happened after an event, oldest first.
    pub(crate) async fn events(
        &self,
        caller: &Caller,
        named: &str,
        after: Option<i64>,
        limit: Option<i64>,
    ) -> Result<Vec<EventRecord>, ServiceError> {
        let desired = self.find(caller, named).await?;
        let limit = limit.unwrap_or(EVENTS_DEFAULT).clamp(1, EVENTS_MAX);
        let limit = u32::try_from(limit).unwrap_or(1);
        Ok(self.store.events(desired.id, after.unwrap_or(0), limit).await?)
    }
}

//! Changes of desired state: concurrent ones come one after the other, each on what the one before left.

use dedi_domain::{Desired, EndpointState, Timestamp};

use super::Endpoints;
use crate::service::caller::Caller;
use crate::service::error::ServiceError;
use crate::store::{Actor, Change, EndpointKey, StoreError};

/// Times a change is tried again because another one came between.
const TRIES: u32 = 32;

impl Endpoints {
    /// Changes the caller's endpoint by `change`, which answers `None` where nothing would be different. Returns once
    /// the gateway has been told.
    pub(super) async fn change(
        &self,
        caller: &Caller,
        named: &str,
        mut change: impl FnMut(&Desired, Timestamp) -> Result<Option<Change>, ServiceError>,
    ) -> Result<Desired, ServiceError> {
        let key = EndpointKey::parse(named).ok_or_else(|| ServiceError::no_endpoint(named))?;
        let now = self.clock.now();
        let by = Actor::from(&caller.0);
        let mut n_tries = 0;
        loop {
            n_tries += 1;
            let found = self.store.endpoint(caller.owner(), &key).await;
            let before = found.map_err(|err| ServiceError::of_lookup(err, named))?;
            if !caller.shows(&before) {
                return Err(ServiceError::no_endpoint(named));
            }
            let done = match change(&before, now)? {
                None => Ok(before),
                Some(change) => self.store.update_endpoint(&before, change, &by, now).await,
            };
            match done {
                Ok(after) => {
                    self.barrier.ask().await;
                    return Ok(after);
                }
                Err(StoreError::Conflict) if n_tries < TRIES => {}
                Err(err) => return Err(err.into()),
            }
        }
    }
}

/// Shows `state` at once, where that may follow: clients that wait begin to look at once. While replicas still stop, a
/// start stays shown as STOPPING.
pub(super) fn show(after: &mut Desired, state: EndpointState, now: Timestamp) {
    let waits_for_the_last_run =
        after.published == EndpointState::Stopping && state == EndpointState::Pending;
    if after.published.may_become(state) && !waits_for_the_last_run {
        after.published = state;
        after.published_at = now;
    }
}

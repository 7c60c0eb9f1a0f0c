//! Deletes an endpoint: it is gone for its tenant at once, and its replicas end.

use dedi_domain::EndpointState;

use super::Endpoints;
use super::change::show;
use crate::service::caller::Caller;
use crate::service::error::ServiceError;
use crate::store::{Change, EventKind};

impl Endpoints {
    pub(crate) async fn delete(&self, caller: &Caller, named: &str) -> Result<(), ServiceError> {
        // Whether it exists is said only to those who may see it.
        caller.must_read()?;
        caller.must_delete()?;
        self.change(caller, named, |before, now| {
            let mut after = before.clone();
            after.deleted = true;
            show(&mut after, EndpointState::Stopping, now);
            let message = "deletion requested".to_owned();
            Ok(Some(Change { after, kind: EventKind::DeleteRequested, message }))
        })
        .await?;
        Ok(())
    }
}

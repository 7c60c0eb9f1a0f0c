//! The caller's endpoints, newest first.

use dedi_domain::Desired;

use super::Endpoints;
use crate::service::caller::Caller;
use crate::service::error::ServiceError;

impl Endpoints {
    pub(crate) async fn list(&self, caller: &Caller) -> Result<Vec<Desired>, ServiceError> {
        caller.must_read()?;
        let mut endpoints = self.store.endpoints(caller.owner()).await?;
        endpoints.retain(|it| caller.shows(it));
        Ok(endpoints)
    }
}

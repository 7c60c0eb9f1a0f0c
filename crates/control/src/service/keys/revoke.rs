//! Revokes a key: requests of both kinds are checked against the new keys from then on.

use dedi_domain::KeyId;

use super::Keys;
use crate::service::caller::Caller;
use crate::service::error::{Absent, Conflict, ServiceError};
use crate::store::{AuditAction, Judged, StoreError};

impl Keys {
    pub(crate) async fn revoke(&self, caller: &Caller, id: &str) -> Result<(), ServiceError> {
        caller.must_manage_keys()?;
        let key = KeyId(id.to_owned());
        let entry = caller.audit_entry(AuditAction::KeyRevoke, id, "revoked a key".to_owned());
        let times = self.clock.times();
        let judged = Judged { times: &times, now: self.clock.judged() };
        match self.store.revoke_key(caller.reach(), &key, entry, self.clock.now(), judged).await {
            Ok(()) => {}
            Err(StoreError::NotFound) => {
                return Err(ServiceError::NotFound(Absent::Key(id.to_owned())));
            }
            Err(StoreError::Conflict) => {
                return Err(ServiceError::Conflict {
                    with: Conflict::LastAdminKey,
                    message: "This is the last admin key of this server; make another one first".to_owned(),
                });
            }
            Err(other) => return Err(other.into()),
        }
        self.ring.reload().await?;
        tracing::info!(key.id = %id, by = %caller.0.key, "revoked an API key");
        Ok(())
    }
}

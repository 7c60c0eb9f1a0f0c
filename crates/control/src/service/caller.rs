//! Who asks, and what its role and its key's list allow whatever the object is.

use dedi_domain::{Desired, EndpointName, ModelName, Owner, Principal, Role};

use super::error::ServiceError;
use crate::store::{Actor, AuditAction, AuditEntry};

/// A caller whose key was checked.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) Principal);

impl Caller {
    pub(crate) fn owner(&self) -> &Owner {
        &self.0.owner
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.0.role == Role::Admin
    }

    /// The tenants whose keys and log the caller manages; `None` is all.
    pub(super) fn reach(&self) -> Option<&Owner> {
        (!self.is_admin()).then_some(&self.0.owner)
    }

    pub(super) fn must_read(&self) -> Result<(), ServiceError> {
        self.must(Role::may_read, "read endpoints")
    }

    pub(crate) fn must_change(&self) -> Result<(), ServiceError> {
        self.must(Role::may_change, "create or change endpoints")
    }

    pub(super) fn must_delete(&self) -> Result<(), ServiceError> {
        self.must(Role::may_delete, "delete endpoints")
    }

    pub(crate) fn must_manage_keys(&self) -> Result<(), ServiceError> {
        self.must(Role::may_delete, "manage keys")?;
        self.must_be_unlimited("manage keys")
    }

    pub(super) fn must_audit(&self) -> Result<(), ServiceError> {
        self.must(Role::may_delete, "read the audit log")?;
        self.must_be_unlimited("read the audit log")
    }

    /// Refuses a key that is limited to a list, for what goes beyond any list.
    fn must_be_unlimited(&self, what: &str) -> Result<(), ServiceError> {
        if self.0.scope.is_everything() {
            return Ok(());
        }
        Err(ServiceError::Forbidden(format!(
            "This API key is limited to a list of models, and has no permission to {what}"
        )))
    }

    fn must(&self, may: fn(Role) -> bool, what: &str) -> Result<(), ServiceError> {
        if may(self.0.role) { Ok(()) } else { Err(self.forbidden(what)) }
    }

    /// The refusal of a role that may not do `what`.
    pub(super) fn forbidden(&self, what: &str) -> ServiceError {
        let role = self.0.role.as_str();
        ServiceError::Forbidden(format!(
            "This API key has the role `{role}`, which has no permission to {what}"
        ))
    }

    /// Whether the key's list has the endpoint; what is outside is as absent as another tenant's.
    pub(super) fn shows(&self, it: &Desired) -> bool {
        self.0.scope.has_endpoint(it.id, &it.name, &it.model)
    }

    /// The same by what is kept of an endpoint that may be gone.
    pub(super) fn shows_used(&self, id: &str, name: &str, model: &str) -> bool {
        let parsed = (id.parse(), EndpointName::parse(name), ModelName::parse(model));
        match parsed {
            (Ok(id), Ok(name), Ok(model)) => self.0.scope.has_endpoint(id, &name, &model),
            // Nothing that a list could name.
            (_, _, _) => self.0.scope.is_everything(),
        }
    }

    /// An entry about what the caller does in its own tenant's log.
    pub(super) fn audit_entry(&self, action: AuditAction, object: &str, message: String) -> AuditEntry {
        AuditEntry {
            owner: Some(self.0.owner.clone()),
            by: Actor::from(&self.0),
            action,
            object: object.to_owned(),
            message,
        }
    }
}

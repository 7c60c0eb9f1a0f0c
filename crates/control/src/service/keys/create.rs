//! Makes a key.

use std::time::Duration;

use dedi_domain::keys::KeyText;
use dedi_domain::{Owner, Role, Scope};

use super::{Keys, ShownKey};
use crate::random::random_digits;
use crate::service::caller::Caller;
use crate::service::display_name::check_display_name;
use crate::service::error::ServiceError;
use crate::store::{Actor, AuditAction, AuditEntry, StoredKey};

/// Longest life that can be asked for.
const DAYS_MAX: i64 = 3_650;

/// A key to be.
pub(crate) struct NewKey {
    /// By default a developer's.
    pub(crate) role: Option<Role>,
    /// By default the caller's tenant.
    pub(crate) owner: Option<Owner>,
    /// For people.
    pub(crate) name: String,
    /// Without it the key does not expire.
    pub(crate) expires_in_days: Option<i64>,
    pub(crate) scope: Scope,
}

/// A key that was made, with its text, which is shown this once.
pub(crate) struct CreatedKey {
    pub(crate) shown: ShownKey,
    pub(crate) text: KeyText,
}

impl Keys {
    pub(crate) async fn create(&self, caller: &Caller, new: NewKey) -> Result<CreatedKey, ServiceError> {
        caller.must_manage_keys()?;
        let role = new.role.unwrap_or(Role::Developer);
        if role > caller.0.role {
            let own = caller.0.role.as_str();
            return Err(ServiceError::Forbidden(format!(
                "A key with the role `{own}` has no permission to make one with `{}`",
                role.as_str()
            )));
        }
        let owner = new.owner.unwrap_or_else(|| caller.owner().clone());
        if owner != *caller.owner() && !caller.is_admin() {
            let message = "Only an admin key has permission to make keys of another owner";
            return Err(ServiceError::Forbidden(message.to_owned()));
        }
        let name = check_display_name(&new.name).map_err(|_unfit| {
            ServiceError::invalid("name", "name may have 256 characters, all of which can be seen")
        })?;
        let now = self.clock.now();
        let expires_at = new.expires_in_days.map(life).transpose()?.map(|it| now.plus(it));
        let n_keys = self.store.keys(Some(&owner)).await?.len();
        if n_keys >= self.config.keys_per_owner_max as usize {
            return Err(ServiceError::Quota { what: "keys", n: n_keys });
        }
        let text = KeyText::from_random(&random_digits());
        let key = StoredKey {
            id: text.id(),
            name,
            owner,
            role,
            created_at: now,
            expires_at,
            scope: new.scope,
            last_used_at: None,
        };
        let message = match key.scope.entries() {
            None => format!("made a key with the role `{}`", role.as_str()),
            Some(list) => format!("made a key with the role `{}`, for {}", role.as_str(), list.join(", ")),
        };
        let entry = AuditEntry {
            owner: Some(key.owner.clone()),
            by: Actor::from(&caller.0),
            action: AuditAction::KeyCreate,
            object: key.id.to_string(),
            message,
        };
        self.store.insert_key(&key, text.hash(), &entry).await?;
        self.ring.reload().await?;
        tracing::info!(key.id = %key.id, owner = %key.owner, role = role.as_str(), by = %caller.0.key, "made an API key");
        Ok(CreatedKey { shown: self.shown(key), text })
    }
}

fn life(days: i64) -> Result<Duration, ServiceError> {
    match u64::try_from(days) {
        Ok(fits) if (1..=DAYS_MAX).contains(&days) => Ok(Duration::from_secs(fits * 86_400)),
        Ok(_) | Err(_) => Err(ServiceError::invalid(
            "expires_in_days",
            format!("expires_in_days must be 1 to {DAYS_MAX}, got {days}"),
        )),
    }
}

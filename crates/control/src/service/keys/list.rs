//! Lists the keys that the caller manages.

use super::{Keys, ShownKey};
use crate::service::caller::Caller;
use crate::service::error::ServiceError;

impl Keys {
    /// The keys, of one owner where that is named.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        owner: Option<&str>,
    ) -> Result<Vec<ShownKey>, ServiceError> {
        caller.must_manage_keys()?;
        let keys = self.store.keys(caller.reach()).await?;
        let wanted = keys.into_iter().filter(|it| owner.is_none_or(|owner| it.owner.as_str() == owner));
        Ok(wanted.map(|it| self.shown(it)).collect())
    }
}

//! A key as answers show it.

use dedi_api::KeyInfo;

use crate::clock::Clock;
use crate::service::keys::ShownKey;
use crate::text::time;

/// `text` is the key itself, which is shown once.
pub(super) fn info(it: ShownKey, text: Option<String>, clock: &Clock) -> KeyInfo {
    let ShownKey { key: it, expires_at } = it;
    KeyInfo {
        object: "api_key".to_owned(),
        id: it.id.to_string(),
        name: it.name,
        owner: it.owner.to_string(),
        role: it.role.as_str().to_owned(),
        created_at: clock.show(it.created_at),
        expires_at: expires_at.map(time),
        last_used_at: it.last_used_at.map(|at| clock.show(at)),
        models: it.scope.entries(),
        key: text,
    }
}

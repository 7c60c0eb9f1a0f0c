//! What the use cases of keys need, and a key as they show it.

use std::sync::Arc;

use dedi_domain::Timestamp;

use crate::clock::Clock;
use crate::config::ControlConfig;
use crate::key_ring::KeyRing;
use crate::store::{Store, StoredKey};

pub(crate) struct Keys {
    pub(crate) config: Arc<ControlConfig>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) ring: Arc<KeyRing>,
}

/// A key as it may be shown.
pub(crate) struct ShownKey {
    pub(crate) key: StoredKey,
    /// When it expires by the wall clock.
    pub(crate) expires_at: Option<Timestamp>,
}

impl Keys {
    pub(super) fn shown(&self, key: StoredKey) -> ShownKey {
        ShownKey { expires_at: key.expiry(&self.clock.times()), key }
    }
}

//! The API keys that are valid now: read from the store after each change and by each pass, and published to the gateway.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use dedi_domain::{KeyFailures, KeyRefusal, KeyTable, Principal};
use parking_lot::RwLock;

use crate::clock::Clock;
use crate::key_uses::KeyUses;
use crate::routing::Routing;
use crate::store::{KeyStore, StoreError};

pub(crate) struct KeyRing {
    store: Arc<dyn KeyStore>,
    clock: Clock,
    /// By which keys expire.
    judging: dedi_domain::Clock,
    routing: Arc<Routing>,
    table: RwLock<Arc<KeyTable>>,
    /// Held from the read of the keys until they are published, so that an older read is never published later.
    reloading: tokio::sync::Mutex<()>,
    /// When keys were used, until that is written down.
    pub(crate) uses: KeyUses,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("table", &self.table).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// # Errors
    ///
    /// If the keys can't be read.
    pub(crate) async fn open(
        store: Arc<dyn KeyStore>,
        clock: Clock,
        routing: Arc<Routing>,
    ) -> Result<Self, StoreError> {
        let table = RwLock::new(Arc::new(store.key_table(&clock.times()).await?));
        Ok(Self {
            store,
            judging: clock.judging(),
            clock,
            routing,
            table,
            reloading: tokio::sync::Mutex::default(),
            uses: KeyUses::default(),
        })
    }

    /// The keys that are not revoked; whether one has expired is asked of the table.
    pub(crate) fn table(&self) -> Arc<KeyTable> {
        self.table.read().clone()
    }

    /// Whose key this is; that it was used is noted.
    ///
    /// # Errors
    ///
    /// If it is not valid, or there is none; that counts in `failures`.
    pub(crate) fn check(
        &self,
        key: Option<&str>,
        peer: IpAddr,
        failures: &KeyFailures,
    ) -> Result<Principal, KeyRefusal> {
        let principal = failures.check(&self.table(), key, peer, &self.judging)?;
        self.uses.note(&principal.key, self.judging.now());
        Ok(principal)
    }

    /// Whether a caller's key is still valid: it may have been revoked, or have expired, since it was checked.
    pub(crate) fn is_still_valid(&self, caller: &Principal) -> bool {
        self.table().is_valid(&caller.key, self.judging.wall())
    }

    /// Reads the keys anew and publishes them. A change of keys does not wait for a pass, which may take long.
    ///
    /// # Errors
    ///
    /// If the keys can't be read; those before stay in force.
    pub(crate) async fn reload(&self) -> Result<(), StoreError> {
        let _reloading = self.reloading.lock().await;
        let fresh = Arc::new(self.store.key_table(&self.clock.times()).await?);
        {
            let mut held = self.table.write();
            if **held != *fresh {
                *held = fresh;
            }
        }
        self.routing.publish_keys(|| self.table());
        Ok(())
    }
}

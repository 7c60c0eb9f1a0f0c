//! The route table that the gateway reads, and what has been published in it. Each change is published under one lock,
//! so that versions grow and none is lost.

use std::sync::Arc;

use dedi_domain::reconcile::World;
use dedi_domain::route::{Published, Serving};
use dedi_domain::{Desired, KeyTable, RouteTable, Timestamp};
use parking_lot::Mutex;
use tokio::sync::watch;

#[derive(Debug, Default)]
pub(crate) struct Routing {
    table: watch::Sender<RouteTable>,
    published: Mutex<Published>,
}

impl Routing {
    pub(crate) fn subscribe(&self) -> watch::Receiver<RouteTable> {
        self.table.subscribe()
    }

    pub(crate) fn published(&self) -> Published {
        self.published.lock().clone()
    }

    /// Publishes what a pass shows, where that is new. `keys` is read under the lock: a pass must not bring back keys
    /// that are older than those published meanwhile.
    pub(crate) fn publish_world(
        &self,
        world: &World,
        serving: Serving,
        keys: impl FnOnce() -> Arc<KeyTable>,
    ) {
        self.publish(|published, old| published.next(old, world, Serving { keys: keys(), ..serving }));
    }

    /// Publishes an endpoint that was just recorded, from its row alone.
    pub(crate) fn publish_new(&self, desired: &Desired, now: Timestamp) {
        self.publish(|published, old| published.with_new(old, desired, now));
    }

    /// Publishes the keys, which are read under the lock.
    pub(crate) fn publish_keys(&self, keys: impl FnOnce() -> Arc<KeyTable>) {
        self.publish(|published, old| published.with_keys(old, keys()));
    }

    fn publish(&self, next: impl FnOnce(&mut Published, &RouteTable) -> Option<RouteTable>) {
        let mut published = self.published.lock();
        let table = next(&mut published, &self.table.borrow());
        if let Some(table) = table {
            self.table.send_replace(table);
        }
    }
}

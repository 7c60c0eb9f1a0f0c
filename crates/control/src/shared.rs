//! What HTTP and the reconciler both hold. The store is the truth; the rest here are the last look at the
//! world and copies that each pass renews.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use dedi_domain::fit::{self, MemoryNeed, ModelFacts, memory_need};
use dedi_domain::reconcile::World;
use dedi_domain::route::{Published, Serving};
use dedi_domain::{Desired, EndpointId, HardwareId, KeyTable, Observation, Principal, RouteTable, Timestamp};
use dedi_runtime_api::Runtime;
use rand::Rng;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::Clock;
use crate::config::ControlConfig;
use crate::http::Refusals;
use crate::http::reply::Replies;
use crate::hub::{HubConfig, Pulls};
use crate::key_uses::KeyUses;
use crate::looks::Looks;
use crate::models::{Checks, Desk, ModelStore, NoAnswer};
use crate::store::{Store, StoreError};

/// Requests that read the model store at once; the others wait for a place.
const REQUESTS_AT_ONCE: usize = 4;

pub(crate) struct Shared {
    pub(crate) config: ControlConfig,
    pub(crate) store: Arc<dyn Store>,
    /// Where passes look at models, and where launches read one: a place each.
    pub(crate) looks_desk: Desk,
    pub(crate) launches_desk: Desk,
    requests_desk: Desk,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) clock: Clock,
    /// When this control plane was opened: it knows of no inference before that.
    pub(crate) opened_at: Timestamp,
    pub(crate) looks: Looks,
    pub(crate) pulls: Pulls,
    pub(crate) checks: Checks,
    /// How far the answers to creates got.
    pub(crate) replies: Arc<Replies>,
    pub(crate) routes: watch::Sender<RouteTable>,
    published: Mutex<Published>,
    /// Whether this server ends: answers without an end of their own are cut then.
    pub(crate) closing: CancellationToken,
    world: RwLock<Arc<World>>,
    /// Whose next step the last pass could not record, and why not.
    unrecorded: RwLock<BTreeMap<EndpointId, String>>,
    keys: RwLock<Arc<KeyTable>>,
    /// What was written down of refusals lately.
    pub(crate) refusals: Refusals,
    /// When keys were used, until that is written down.
    pub(crate) key_uses: KeyUses,
    /// Held from the read of the keys to their being told: what was read later is told later.
    telling_keys: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) async fn new(
        config: ControlConfig,
        hub: HubConfig,
        store: Arc<dyn Store>,
        models: ModelStore,
        runtime: Arc<dyn Runtime>,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        clock.begin(store.clock_spans().await?, store.newest_stamp().await?, config.clock_is_right);
        let keys = RwLock::new(Arc::new(store.key_table(&clock.times()).await?));
        let now = clock.now();
        let world = RwLock::new(Arc::new(World {
            now,
            endpoints: Vec::new(),
            aside: dedi_domain::SetAside::default(),
            observation: Observation::Unknown,
            listed_at: now,
            inventory: dedi_domain::Inventory::default(),
            capabilities: runtime.capabilities(),
            settings: config.settings(),
        }));
        let models = Arc::new(models);
        let (routes, _) = watch::channel(RouteTable::default());
        let looks = Looks::new();
        let pulls = Pulls::new(hub, Desk::new(models.clone(), 1), clock.clone(), looks.nudge());
        let checks = Checks::new(models.clone(), clock.clone(), looks.nudge());
        let replies = Arc::new(Replies::default());
        Ok(Self {
            config,
            store,
            looks_desk: Desk::new(models.clone(), 1),
            launches_desk: Desk::new(models.clone(), 1),
            requests_desk: Desk::new(models, REQUESTS_AT_ONCE),
            runtime,
            clock,
            opened_at: now,
            looks,
            pulls,
            checks,
            replies,
            routes,
            published: Mutex::default(),
            closing: CancellationToken::new(),
            world,
            unrecorded: RwLock::default(),
            keys,
            refusals: Refusals::default(),
            key_uses: KeyUses::default(),
            telling_keys: tokio::sync::Mutex::default(),
        })
    }

    /// The last look at the world.
    pub(crate) fn world(&self) -> Arc<World> {
        self.world.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_world(&self, world: Arc<World>) {
        *self.world.write().unwrap_or_else(PoisonError::into_inner) = world;
    }

    /// Why the next step of an endpoint could not be recorded, if that is so.
    pub(crate) fn unrecorded(&self, endpoint: EndpointId) -> Option<String> {
        self.unrecorded.read().unwrap_or_else(PoisonError::into_inner).get(&endpoint).cloned()
    }

    pub(crate) fn set_unrecorded(&self, unrecorded: BTreeMap<EndpointId, String>) {
        *self.unrecorded.write().unwrap_or_else(PoisonError::into_inner) = unrecorded;
    }

    /// The keys that are valid now, but for their expiry.
    pub(crate) fn keys(&self) -> Arc<KeyTable> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a caller's key is still one: it may have been revoked, or have expired, since it was checked.
    pub(crate) fn is_still(&self, caller: &Principal) -> bool {
        self.keys().is_valid(&caller.key, self.clock.judged())
    }

    /// Reads the keys anew and tells the gateway; called after each change of them, and by each pass. A change does not
    /// wait for a pass, which may take long.
    pub(crate) async fn reload_keys(&self) -> Result<(), StoreError> {
        let _telling = self.telling_keys.lock().await;
        let fresh = Arc::new(self.store.key_table(&self.clock.times()).await?);
        {
            let mut held = self.keys.write().unwrap_or_else(PoisonError::into_inner);
            if **held != *fresh {
                *held = fresh;
            }
        }
        self.publish(|published, old| published.with_keys(old, self.keys()));
        Ok(())
    }

    /// Publishes what the last world shows and the keys of now, where that is new.
    pub(crate) fn publish_world(&self, world: &World, serving: Serving) {
        // The keys are read here, where nobody else publishes: a pass must not bring older ones back.
        self.publish(|published, old| published.next(old, world, Serving { keys: self.keys(), ..serving }));
    }

    /// Tells the gateway of an endpoint that was just recorded.
    pub(crate) fn publish_new(&self, desired: &Desired) {
        self.publish(|published, old| published.with_new(old, desired, self.clock.now()));
    }

    /// What was published.
    pub(crate) fn published(&self) -> Published {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn publish(&self, next: impl FnOnce(&mut Published, &RouteTable) -> Option<RouteTable>) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        let table = next(&mut published, &self.routes.borrow());
        if let Some(table) = table {
            self.routes.send_replace(table);
        }
    }

    /// Where the models are.
    pub(crate) fn models_folder(&self) -> std::path::PathBuf {
        self.requests_desk.folder().to_owned()
    }

    /// Reads the model store for a request, which waits at most for `wait`.
    pub(crate) async fn read_models<T: Send + 'static>(
        &self,
        wait: Duration,
        read: impl FnOnce(&ModelStore) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        self.requests_desk.ask(wait, read).await
    }

    /// Cents per minute of a replica on this hardware, by today's config. A name that leaves out what goes without saying
    /// costs what it means.
    pub(crate) fn price(&self, world: &World, hardware: &HardwareId) -> f64 {
        let meant = world.inventory.config(hardware).map(|it| it.id);
        self.config.cents_per_minute(meant.as_ref().unwrap_or(hardware))
    }

    /// How a model is run here, and the memory that takes.
    pub(crate) fn need(&self, facts: &ModelFacts) -> (fit::Serving, MemoryNeed) {
        let serving = self.config.serving(Some(facts));
        (serving, memory_need(facts, serving))
    }
}

/// A random (version 4) UUID.
pub(crate) fn random_uuid() -> Uuid {
    Uuid::new_v4()
}

/// `N` random bytes below 248, so that each of 62 digits is as likely as any other. From the thread's
/// generator, which is cryptographic and seeded by the system.
pub(crate) fn random_digits<const N: usize>() -> [u8; N] {
    let mut rng = rand::rng();
    std::array::from_fn(|_| {
        loop {
            let [byte, ..] = rng.next_u32().to_le_bytes();
            if byte < 248 {
                return byte;
            }
        }
    })
}

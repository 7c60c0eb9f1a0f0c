//! What the control plane is made of, opened once and in order. Whoever is built from it takes the few parts that it
//! needs; nobody below holds all of them.

use std::fmt;
use std::sync::Arc;

use dedi_domain::Timestamp;
use dedi_runtime_api::Runtime;

use crate::barrier::PassBarrier;
use crate::clock::Clock;
use crate::config::ControlConfig;
use crate::hub::{HubConfig, Pulls};
use crate::key_ring::KeyRing;
use crate::last_pass::LastPass;
use crate::models::{BlockingReader, Checks, ModelStore};
use crate::routing::Routing;
use crate::store::{Store, StoreError};

/// Requests that read the model store at once; the others wait for a place.
const REQUESTS_AT_ONCE: usize = 4;

pub(crate) struct Parts {
    pub(crate) config: Arc<ControlConfig>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) readers: Readers,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) clock: Clock,
    /// When this control plane was opened: it knows of no inference before that.
    pub(crate) opened_at: Timestamp,
    pub(crate) barrier: Arc<PassBarrier>,
    pub(crate) pulls: Pulls,
    pub(crate) checks: Checks,
    pub(crate) routing: Arc<Routing>,
    pub(crate) last_pass: Arc<LastPass>,
    pub(crate) keys: Arc<KeyRing>,
}

/// Where the model store is read: each reader has places of its own, so that none waits for another's disk.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    pub(crate) passes: BlockingReader,
    pub(crate) launches: BlockingReader,
    pub(crate) requests: BlockingReader,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Parts {
    /// # Errors
    ///
    /// If the store can't be read.
    pub(crate) async fn open(
        config: ControlConfig,
        hub: HubConfig,
        store: Arc<dyn Store>,
        models: ModelStore,
        runtime: Arc<dyn Runtime>,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        clock.begin(store.clock_spans().await?, store.newest_stamp().await?, config.clock_is_right);
        let routing = Arc::new(Routing::default());
        let keys = Arc::new(KeyRing::open(store.clone(), clock.clone(), routing.clone()).await?);
        let opened_at = clock.now();
        let models = Arc::new(models);
        let barrier = Arc::new(PassBarrier::new());
        Ok(Self {
            last_pass: Arc::new(LastPass::none(opened_at, runtime.capabilities(), config.settings())),
            config: Arc::new(config),
            store,
            readers: Readers {
                passes: BlockingReader::new(models.clone(), 1),
                launches: BlockingReader::new(models.clone(), 1),
                requests: BlockingReader::new(models.clone(), REQUESTS_AT_ONCE),
            },
            runtime,
            opened_at,
            pulls: Pulls::new(hub, BlockingReader::new(models.clone(), 1), clock.clone(), barrier.nudge()),
            checks: Checks::new(models, clock.clone(), barrier.nudge()),
            clock,
            barrier,
            routing,
            keys,
        })
    }
}

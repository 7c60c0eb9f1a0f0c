//! State shared by all requests, and the accounting of failed replicas.

use std::sync::Arc;

use dedi_domain::{Clock, KeyFailures, RouteTable};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{GatewayConfig, ms};
use crate::error::ApiError;
use crate::health::RetryBudget;
use crate::memory::BodyMemory;
use crate::metrics::Metrics;
use crate::replica::Replica;
use crate::route::Fleet;
use crate::strikes::{Strikes, Suspect};
use crate::upstream;

/// Requests at most on a replica that ends for each to count against its key. Who shares one with many is hardly the
/// cause, and replicas that somebody else ends would slow keys that did nothing.
const SUSPECTS_MAX: u32 = 2;

/// State shared by all requests.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Arc<GatewayConfig>,
    pub(crate) clock: Clock,
    pub(crate) routes: watch::Receiver<RouteTable>,
    pub(crate) fleet: Fleet,
    pub(crate) memory: Arc<BodyMemory>,
    pub(crate) failures: Arc<KeyFailures>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) retries: Mutex<RetryBudget>,
    pub(crate) strikes: Mutex<Strikes>,
    /// Relays of streams that have not ended.
    pub(crate) streams: TaskTracker,
    /// Ends what is still running.
    pub(crate) kill: CancellationToken,
}

impl Core {
    pub(crate) fn new(config: GatewayConfig, routes: watch::Receiver<RouteTable>, clock: Clock) -> Self {
        let config = Arc::new(config);
        let kill = CancellationToken::new();
        let metrics = Arc::new(Metrics::default());
        let fleet = Fleet::new(metrics.clone(), clock.clone(), kill.clone());
        fleet.install(routes.borrow().clone());
        Self {
            fleet,
            routes,
            memory: Arc::default(),
            failures: Arc::new(KeyFailures::new(
                config.key_failures_per_minute_max,
                config.key_failures_per_minute_all_max,
            )),
            metrics,
            retries: Mutex::new(RetryBudget::new(config.retry_percent, config.retries_per_sec, clock.now())),
            strikes: Mutex::default(),
            streams: TaskTracker::new(),
            kill,
            config,
            clock,
        }
    }

    /// Installs the newest table before a request is handled: what a client has been answered, such as that its
    /// endpoint stops, holds for its next request, however busy the task is that installs tables.
    pub(crate) fn catch_up(&self) {
        let newest = self.routes.borrow().version;
        if newest > self.fleet.table().version {
            let table = self.routes.borrow().clone();
            self.fleet.install(table);
        }
    }

    /// Why what is on this replica has to end, if it has to. The newest table is used: it was published before the
    /// processes were signalled, so a connection broken by the shutdown is recognised as such.
    pub(crate) fn ended(&self, replica: &Replica) -> Option<ApiError> {
        self.catch_up();
        if self.kill.is_cancelled() {
            return Some(ApiError::ShuttingDown);
        }
        replica.ending().map(ApiError::Drained)
    }

    /// A request of `key` was one of so many on a replica that ended; of few, it counts against the key. Whether the
    /// key is slowed from now on.
    pub(crate) fn suspect(&self, suspect: &Suspect, replica: &Replica, n_on_it: u32) -> bool {
        let key = &suspect.0;
        let now = self.clock.now();
        let mut strikes = self.strikes.lock();
        if n_on_it <= SUSPECTS_MAX {
            strikes.note(suspect, replica.id, now);
        }
        let is_slowed = strikes.is_slowed(suspect, now);
        drop(strikes);
        tracing::warn!(
            replica.id = %replica.id, key.id = %key, n_on_it, is_slowed,
            "{} ended while it had a request of {key}", replica.id
        );
        is_slowed
    }

    /// A replica broke an answer that had begun. The only one on it may have been what ended it; of several, the rest
    /// are taken to be in the midst of what had gone well so far.
    pub(crate) async fn broke_begun(&self, suspect: &Suspect, replica: &Replica) {
        let n_on_it = replica.broke(self.clock.now());
        let limit = ms(self.config.connect_timeout_ms);
        if n_on_it <= 1 && !upstream::is_alive(&replica.address, limit).await {
            self.suspect(suspect, replica, n_on_it);
        }
    }

    /// Counts a failure against a replica.
    pub(crate) fn blame(&self, replica: &Replica) {
        self.metrics.replica_failures.inc();
        if replica.failed(self.clock.now(), &self.config) {
            self.metrics.ejections.inc();
            tracing::warn!(replica.id = %replica.id, "{} failed too often and is avoided for a while", replica.id);
        }
    }
}

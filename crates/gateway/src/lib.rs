//! The data plane: keys, route table, admission, balance, upstream, stream. It carries inference requests to
//! replicas and their answers back, in the contract's shape; it never decides what runs.
//!
//! It shares two values with the control plane, a route table and a load report, and nothing else. Cut off from
//! it, it goes on with the last table.

mod admission;
mod attempt;
mod balance;
mod config;
mod health;
mod http;
mod load;
mod metrics;
mod request;
mod respond;
mod route;
mod stream;
mod strikes;
mod upstream;
mod waiting;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use dedi_domain::{KeyFailures, LoadReport, RouteTable, Timestamp};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use crate::config::GatewayConfig;
use crate::health::RetryBudget;
use crate::http::error::ApiError;
use crate::http::memory::BodyMemory;
use crate::metrics::Metrics;
use crate::route::{Fleet, Replica};
use crate::strikes::{Strikes, Suspect};

/// Requests at most on a replica that ends for each to count against its key. Who shares one with many is hardly the
/// cause, and replicas that somebody else ends would slow keys that did nothing.
const SUSPECTS_MAX: u32 = 2;

/// Tells the time: the system's, or a test's.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    wall: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Clock {
    /// The clock that `now` reads, for waits, for people and for keys alike.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let now: Arc<dyn Fn() -> Timestamp + Send + Sync> = Arc::new(now);
        Self { wall: now.clone(), now }
    }

    /// The same with another clock for people and for the expiry of keys, which may be set at any time.
    #[must_use]
    pub fn with_wall(self, wall: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { wall: Arc::new(wall), ..self }
    }

    /// The system's.
    pub fn system() -> Self {
        Self::new(|| {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            Timestamp(since.map_or(0, |it| i64::try_from(it.as_millis()).unwrap_or(i64::MAX)))
        })
    }

    fn now(&self) -> Timestamp {
        (self.now)()
    }

    fn wall(&self) -> Timestamp {
        (self.wall)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now().0)
    }
}

/// The data plane. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Gateway {
    core: Arc<Core>,
    routes: watch::Receiver<RouteTable>,
    loads: watch::Sender<LoadReport>,
}

/// What every request needs.
#[derive(Debug)]
pub(crate) struct Core {
    config: Arc<GatewayConfig>,
    clock: Clock,
    routes: watch::Receiver<RouteTable>,
    fleet: Fleet,
    memory: Arc<BodyMemory>,
    failures: Arc<KeyFailures>,
    metrics: Arc<Metrics>,
    retries: Mutex<RetryBudget>,
    strikes: Mutex<Strikes>,
    /// Relays of streams that have not ended.
    streams: TaskTracker,
    /// Ends what is still running.
    kill: CancellationToken,
}

impl Gateway {
    /// A gateway that routes by the table that `routes` has now, and by later ones while it is run.
    pub fn new(
        config: GatewayConfig,
        routes: watch::Receiver<RouteTable>,
        loads: watch::Sender<LoadReport>,
        clock: Clock,
    ) -> Self {
        let config = Arc::new(config);
        let kill = CancellationToken::new();
        let fleet = Fleet::new(clock.clone(), kill.clone());
        fleet.install(routes.borrow().clone());
        let core = Core {
            fleet,
            routes: routes.clone(),
            memory: Arc::default(),
            failures: Arc::new(KeyFailures::new(
                config.key_failures_per_minute_max,
                config.key_failures_per_minute_all_max,
            )),
            metrics: Arc::default(),
            retries: Mutex::new(RetryBudget::new(config.retry_percent, config.retries_per_sec, clock.now())),
            strikes: Mutex::default(),
            streams: TaskTracker::new(),
            kill,
            config,
            clock,
        };
        Self { core: Arc::new(core), routes, loads }
    }

    /// `POST /v1/chat/completions`, `/v1/completions` and `/v1/embeddings`. A client's address is read from the
    /// request extension `ConnectInfo<SocketAddr>`.
    pub fn router(&self) -> Router {
        http::router(self.core.clone())
    }

    /// Counts wrong keys; to be shared with everything else that looks at keys.
    pub fn key_failures(&self) -> Arc<KeyFailures> {
        self.core.failures.clone()
    }

    /// Takes over new route tables and publishes load reports until `cancel`. A report's `routes_version` is
    /// that of the table which requests are routed by when it is made: a replica that is not in it, and has
    /// nothing in flight there, gets nothing any more.
    pub async fn run(&self, cancel: CancellationToken) {
        let interval = self.core.config.report_interval_ms;
        load::run(&self.core.fleet, self.routes.clone(), &self.loads, interval, cancel).await;
    }

    /// Requests that have been accepted and not finished: on replicas, and held for one.
    pub fn in_flight(&self) -> u32 {
        let report = self.core.fleet.report();
        report
            .endpoints
            .values()
            .map(|it| it.in_flight.saturating_add(it.waiting))
            .fold(0, u32::saturating_add)
    }

    /// Waits until nothing is in flight, at most for `limit`; then ends what is left with an error that says
    /// so. To be called once nothing new can come. Returns how many were ended.
    pub async fn drain(&self, limit: Duration) -> u32 {
        let mut changes = self.core.fleet.changes();
        let idle = timeout(limit, async { while self.in_flight() > 0 && changes.changed().await.is_ok() {} });
        let left = if idle.await.is_ok() { 0 } else { self.in_flight() };
        self.core.kill.cancel();
        self.core.streams.close();
        // Each relay has only its error event left to hand over.
        let _ = timeout(Duration::from_secs(1), self.core.streams.wait()).await;
        left
    }

    /// The counters in Prometheus' text format.
    pub fn metrics(&self) -> String {
        let report = self.core.fleet.report();
        let in_flight = report.endpoints.values().map(|it| u64::from(it.in_flight)).sum();
        let waiting = report.endpoints.values().map(|it| u64::from(it.waiting)).sum();
        self.core.metrics.text(in_flight, waiting)
    }
}

impl Core {
    /// Takes over the newest table before a request is looked at: what a client was told, such as that its
    /// endpoint stops, holds for its next request, however busy the task is that installs tables.
    fn catch_up(&self) {
        let newest = self.routes.borrow().version;
        if newest > self.fleet.table().version {
            let table = self.routes.borrow().clone();
            self.fleet.install(table);
        }
    }

    /// Why what is on this replica has to end, if it has to. The newest table is looked at: it was published before the
    /// processes were told, so a connection that they break for that reason is known to be broken for that reason.
    fn ended(&self, replica: &Replica) -> Option<ApiError> {
        self.catch_up();
        if self.kill.is_cancelled() {
            return Some(ApiError::ShuttingDown);
        }
        replica.ending().map(ApiError::Drained)
    }

    /// A request of `key` was one of so many on a replica that ended; of few, it counts against the key. Whether the
    /// key is slowed from now on.
    fn suspect(&self, suspect: &Suspect, replica: &Replica, n_on_it: u32) -> bool {
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
    async fn broke_begun(&self, suspect: &Suspect, replica: &Replica) {
        let n_on_it = replica.broke(self.clock.now());
        let limit = crate::config::ms(self.config.connect_timeout_ms);
        if n_on_it <= 1 && !upstream::is_alive(&replica.address, limit).await {
            self.suspect(suspect, replica, n_on_it);
        }
    }

    /// Counts a failure against a replica.
    fn blame(&self, replica: &Replica) {
        self.metrics.replica_failures.add(1);
        if replica.failed(self.clock.now(), &self.config) {
            self.metrics.ejections.add(1);
            tracing::warn!(replica.id = %replica.id, "{} failed too often and is avoided for a while", replica.id);
        }
    }
}

//! The data plane: keys, route table, admission, balance, upstream, stream. It carries inference requests to
//! replicas and their answers back, in the contract's shape; it never decides what runs.
//!
//! It shares two values with the control plane, a route table and a load report, and nothing else. Cut off from
//! it, it goes on with the last table.

mod admission;
mod attempt;
mod balance;
mod config;
mod core;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod gauges;
mod health;
mod http;
mod load;
mod memory;
mod metrics;
mod record;
mod replica;
mod request;
mod respond;
mod route;
mod stream;
mod strikes;
mod upstream;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use dedi_domain::{Clock, KeyFailures, LoadReport, RouteTable};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use crate::config::GatewayConfig;
use crate::core::Core;
use crate::gauges::Gauges;

/// The data plane. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Gateway {
    core: Arc<Core>,
    routes: watch::Receiver<RouteTable>,
    loads: watch::Sender<LoadReport>,
}

impl Gateway {
    /// A gateway that routes by the table that `routes` has now, and by later ones while it is run.
    pub fn new(
        config: GatewayConfig,
        routes: watch::Receiver<RouteTable>,
        loads: watch::Sender<LoadReport>,
        clock: Clock,
    ) -> Self {
        let core = Core::new(config, routes.clone(), clock);
        Self { core: Arc::new(core), routes, loads }
    }

    /// `POST /v1/chat/completions`, `/v1/completions` and `/v1/embeddings`. A client's address is read from the
    /// request extension `ConnectInfo<SocketAddr>`.
    pub fn router(&self) -> Router {
        http::router(self.core.clone())
    }

    /// Counts wrong keys; to be shared with every other check of keys.
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

    /// Waits until nothing is in flight, at most for `limit`; then aborts what is left with an error that says
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

    /// Adds what is counted here to what a scrape reads.
    pub fn register_metrics(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("dedi_gateway");
        self.core.metrics.register(registry);
        registry.register_collector(Box::new(Gauges(self.core.clone())));
    }
}

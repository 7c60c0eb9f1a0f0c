//! One replica as requests see it: its connections, how it has done lately, and when what is on it has to end.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dedi_domain::route::{Ending, RouteReplica};
use dedi_domain::{Address, ReplicaId, Timestamp};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config::{GatewayConfig, ms};
use crate::health::{Health, Silence, Wait};
use crate::upstream::Pool;

/// Connections that break within this time broke for one reason.
const BREAKS_TOGETHER: Duration = Duration::from_secs(2);

/// One replica, as long as it is in the table or has requests.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) id: ReplicaId,
    pub(crate) address: Address,
    pub(crate) engine_model: String,
    pub(crate) in_flight: AtomicU32,
    /// What of its engine those take, by their weights.
    pub(crate) load: AtomicU32,
    pub(crate) pool: Pool,
    health: Mutex<Health>,
    silence: Silence,
    /// When a connection last broke, and how many requests were on it then.
    broke: Mutex<Option<(Timestamp, u32)>>,
    ending: OnceLock<Ending>,
    /// Ends what is on it, with the gateway or before it.
    end: CancellationToken,
}

impl Replica {
    /// A replica that comes into the table; `end` ends what is on it.
    pub(crate) fn new(listed: &RouteReplica, end: CancellationToken) -> Self {
        Self {
            id: listed.id,
            address: listed.address.clone(),
            engine_model: listed.engine_model.clone(),
            in_flight: AtomicU32::new(0),
            load: AtomicU32::new(0),
            pool: Pool::default(),
            health: Mutex::default(),
            silence: Silence::default(),
            broke: Mutex::default(),
            ending: OnceLock::new(),
            end,
        }
    }

    /// Whether the table lists this one, and not another of its id.
    pub(crate) fn is(&self, listed: &RouteReplica) -> bool {
        self.address == listed.address && self.engine_model == listed.engine_model
    }

    /// Waits for an answer that were in vain.
    pub(crate) fn n_unanswered(&self) -> u32 {
        self.silence.unanswered()
    }

    pub(crate) fn health(&self) -> Health {
        *self.health.lock()
    }

    pub(crate) fn end(&self, ending: Ending) {
        if self.ending.set(ending).is_ok() {
            self.end.cancel();
        }
    }

    /// Returns when what is on it has to end. Polled for each event of a stream.
    pub(crate) async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// Why it is ended, if it was drained before.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending.get().copied()
    }

    /// It sent part of a response.
    pub(crate) fn received(&self) {
        self.silence.received();
    }

    /// Begins a wait for its next bytes.
    pub(crate) fn wait(&self) -> Wait {
        self.silence.wait()
    }

    /// That wait timed out.
    pub(crate) fn unanswered(&self, wait: Wait) {
        self.silence.unanswered_since(wait);
    }

    /// A connection to it broke. How many requests were on it then: those that break with it hear the same number.
    pub(crate) fn broke(&self, now: Timestamp) -> u32 {
        let mut broke = self.broke.lock();
        let on_it = self.in_flight.load(Ordering::SeqCst);
        let same = broke.filter(|it| now.since(it.0) < BREAKS_TOGETHER);
        let n = same.map_or(on_it, |it| it.1.max(on_it));
        *broke = Some((same.map_or(now, |it| it.0), n));
        n
    }

    /// It began a response.
    pub(crate) fn succeeded(&self) {
        self.health.lock().succeeded();
    }

    /// It failed; true when it will be avoided for a while.
    pub(crate) fn failed(&self, now: Timestamp, config: &GatewayConfig) -> bool {
        let mut health = self.health.lock();
        health.failed(now, config.ejection_failures, ms(config.ejection_ms))
    }
}

//! Admission control: every request takes permits, one for each choice it asks for, or is refused. An endpoint has a
//! number of permits and of bytes; once half the permits are taken, each key gets a share. Guards do the counting and
//! live as long as what they count.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use dedi_domain::route::EndpointLoad;
use dedi_domain::{KeyId, Timestamp};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::GatewayConfig;
use crate::error::ApiError;
use crate::memory::HeldBytes;
use crate::metrics::EndpointMetrics;
use crate::replica::Replica;
use dedi_domain::Clock;

/// Notifies watchers that a counter changed.
#[derive(Clone, Debug)]
pub(crate) struct Changed(watch::Sender<()>);

impl Default for Changed {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}

impl Changed {
    pub(crate) fn notify(&self) {
        self.0.send_replace(());
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}

/// Admission counters of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Endpoint {
    /// Changed under the lock of `keys`, as `bytes` is.
    permits: AtomicU32,
    bytes: AtomicU64,
    /// Permits by key, of keys that hold any.
    keys: Mutex<HashMap<KeyId, u32>>,
    in_flight: AtomicU32,
    waiting: AtomicU32,
    /// Milliseconds since the epoch, plus one; 0 is never.
    last_finished: AtomicU64,
    /// What was counted of it since it came.
    pub(crate) metrics: EndpointMetrics,
}

impl Endpoint {
    pub(crate) fn new(metrics: EndpointMetrics) -> Self {
        Self { metrics, ..Self::default() }
    }

    /// Whether anything is counted on it.
    pub(crate) fn is_busy(&self) -> bool {
        self.permits.load(Ordering::SeqCst) > 0
    }

    /// The endpoint's part of a load report.
    pub(crate) fn load(&self) -> EndpointLoad {
        let last = self.last_finished.load(Ordering::SeqCst).checked_sub(1);
        EndpointLoad {
            in_flight: self.in_flight.load(Ordering::SeqCst),
            waiting: self.waiting.load(Ordering::SeqCst),
            last_finished_at: last.and_then(|it| i64::try_from(it).ok()).map(Timestamp),
        }
    }

    fn finished(&self, now: Timestamp) {
        let now = u64::try_from(now.0).unwrap_or(0).saturating_add(1);
        self.last_finished.fetch_max(now, Ordering::SeqCst);
    }
}

/// One admitted request; counted until dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    endpoint: Arc<Endpoint>,
    key: KeyId,
    weight: u32,
    held: HeldBytes,
}

impl Permit {
    /// Admits a request of `weight` choices whose body holds `held`, under all limits of its endpoint.
    pub(crate) fn take(
        endpoint: &Arc<Endpoint>,
        key: &KeyId,
        weight: u32,
        held: HeldBytes,
        config: &GatewayConfig,
    ) -> Result<Self, ApiError> {
        // However few permits there are, a request is never too heavy for all of them.
        let weight = weight.clamp(1, (config.requests_per_endpoint_max / 4).max(1));
        // Compared and counted under one lock: two that come at once can't both take the last permit, and one that is
        // refused takes none, not for a moment.
        let mut keys = endpoint.keys.lock();
        let had = keys.get(key).copied();
        let of_key = had.unwrap_or(0).saturating_add(weight);
        let n_keys = keys.len() + usize::from(had.is_none());
        let permits = endpoint.permits.load(Ordering::SeqCst).saturating_add(weight);
        let bytes = endpoint.bytes.load(Ordering::SeqCst).saturating_add(held.bytes());
        if permits > config.requests_per_endpoint_max {
            return Err(ApiError::EndpointFull { max: config.requests_per_endpoint_max });
        }
        let n_keys = u32::try_from(n_keys).unwrap_or(u32::MAX);
        let share = share(config.requests_per_endpoint_max, n_keys);
        if permits > config.requests_per_endpoint_max / 2 && of_key > share {
            return Err(ApiError::KeyShareFull { share });
        }
        if bytes > config.bytes_per_endpoint_max {
            return Err(ApiError::MemoryFull);
        }
        keys.insert(key.clone(), of_key);
        endpoint.permits.store(permits, Ordering::SeqCst);
        endpoint.bytes.store(bytes, Ordering::SeqCst);
        drop(keys);
        Ok(Self { endpoint: endpoint.clone(), key: key.clone(), weight, held })
    }

    /// The counters it is counted in.
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

/// Permits that each of `n_keys` keys may hold once more than half are taken. A single key leaves a tenth, so that the
/// next one finds a permit and is counted from then on.
fn share(permits_max: u32, n_keys: u32) -> u32 {
    match n_keys {
        0 | 1 => permits_max - permits_max / 10,
        n => (permits_max / n).max(1),
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut keys = self.endpoint.keys.lock();
        if let Some(of_key) = keys.get_mut(&self.key) {
            *of_key = of_key.saturating_sub(self.weight);
            if *of_key == 0 {
                keys.remove(&self.key);
            }
        }
        // Under the lock, as they are set.
        self.endpoint.permits.fetch_sub(self.weight, Ordering::SeqCst);
        self.endpoint.bytes.fetch_sub(self.held.bytes(), Ordering::SeqCst);
        drop(keys);
    }
}

/// One request that is held until a replica is ready.
#[derive(Debug)]
pub(crate) struct Waiting {
    endpoint: Arc<Endpoint>,
    changed: Changed,
}

impl Waiting {
    pub(crate) fn enter(endpoint: &Arc<Endpoint>, changed: &Changed) -> Self {
        endpoint.waiting.fetch_add(1, Ordering::SeqCst);
        changed.notify();
        Self { endpoint: endpoint.clone(), changed: changed.clone() }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.endpoint.waiting.fetch_sub(1, Ordering::SeqCst);
        self.changed.notify();
    }
}

/// One request on one replica: from the pick to the last byte, or to the client's hang-up.
#[derive(Debug)]
pub(crate) struct InFlight {
    endpoint: Arc<Endpoint>,
    replica: Arc<Replica>,
    weight: u32,
    changed: Changed,
    clock: Clock,
}

impl InFlight {
    pub(crate) fn enter(
        endpoint: &Arc<Endpoint>,
        replica: &Arc<Replica>,
        weight: u32,
        changed: &Changed,
        clock: &Clock,
    ) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::SeqCst);
        replica.in_flight.fetch_add(1, Ordering::SeqCst);
        replica.load.fetch_add(weight, Ordering::SeqCst);
        changed.notify();
        let (endpoint, replica) = (endpoint.clone(), replica.clone());
        Self { endpoint, replica, weight, changed: changed.clone(), clock: clock.clone() }
    }

    /// The replica it is on.
    pub(crate) fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.endpoint.finished(self.clock.now());
        self.replica.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.replica.load.fetch_sub(self.weight, Ordering::SeqCst);
        self.endpoint.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.changed.notify();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admission_full_endpoint_refuses_and_a_dropped_permit_is_free_again() {
        let config = GatewayConfig {
            requests_per_endpoint_max: 2,
            bytes_per_endpoint_max: 100,
            ..GatewayConfig::default()
        };
        let endpoint = Arc::new(Endpoint::default());
        let key = KeyId("a".to_owned());
        let take = |bytes| Permit::take(&endpoint, &key, 1, HeldBytes::of(bytes), &config);
        let first = take(60).unwrap();
        assert_eq!(take(60).unwrap_err(), ApiError::MemoryFull);
        let _second = take(40).unwrap();
        assert_eq!(take(0).unwrap_err(), ApiError::EndpointFull { max: 2 });
        drop(first);
        assert!(take(60).is_ok());
        assert!(endpoint.is_busy());
    }

    #[test]
    fn admission_refused_request_is_counted_nowhere() {
        let config = GatewayConfig { requests_per_endpoint_max: 2, ..GatewayConfig::default() };
        let endpoint = Arc::new(Endpoint::default());
        let key = |name: &str| KeyId(name.to_owned());
        let take = |name| Permit::take(&endpoint, &key(name), 1, HeldBytes::of(10), &config);
        let all = ["a", "b"].map(|it| take(it).unwrap());
        assert_eq!(take("c").unwrap_err(), ApiError::EndpointFull { max: 2 });
        assert_eq!((endpoint.permits.load(Ordering::SeqCst), endpoint.bytes.load(Ordering::SeqCst)), (2, 20));
        assert!(!endpoint.keys.lock().contains_key(&key("c")));
        drop(all);
        assert!(!endpoint.is_busy() && endpoint.keys.lock().is_empty());
    }

    #[test]
    fn admission_greedy_key_leaves_others_their_share() {
        let config = GatewayConfig { requests_per_endpoint_max: 100, ..GatewayConfig::default() };
        let endpoint = Arc::new(Endpoint::default());
        let (greedy, modest) = (KeyId("greedy".to_owned()), KeyId("modest".to_owned()));
        let take = |key| Permit::take(&endpoint, key, 1, HeldBytes::of(0), &config);
        let all = |key| std::iter::from_fn(|| take(key).ok()).collect::<Vec<_>>();
        let mut of_greedy = all(&greedy);
        assert_eq!(of_greedy.len(), 90, "alone it gets nearly all");
        let _one = take(&modest).unwrap();
        assert_eq!(take(&greedy).unwrap_err(), ApiError::KeyShareFull { share: 50 });
        // As its requests end, it gets no new permit before it is back at its share.
        of_greedy.truncate(60);
        assert_eq!(take(&greedy).unwrap_err(), ApiError::KeyShareFull { share: 50 });
        assert_eq!(all(&modest).len(), 39, "all that are free");
        of_greedy.truncate(40);
        assert_eq!((all(&greedy).len(), all(&modest).len()), (10, 49));
        drop(of_greedy);
        assert!(take(&greedy).is_ok());
    }

    #[test]
    fn admission_request_takes_a_permit_for_each_choice() {
        let config = GatewayConfig { requests_per_endpoint_max: 1_000, ..GatewayConfig::default() };
        let endpoint = Arc::new(Endpoint::default());
        let (greedy, modest) = (KeyId("greedy".to_owned()), KeyId("modest".to_owned()));
        let take = |key, weight| Permit::take(&endpoint, key, weight, HeldBytes::of(0), &config);
        let of_greedy: Vec<_> = (0..68).filter_map(|_| take(&greedy, 128).ok()).collect();
        assert_eq!(of_greedy.len(), 7, "900 places hold so many times 128 choices");
        assert_eq!(take(&greedy, 128).unwrap_err(), ApiError::EndpointFull { max: 1_000 });
        assert_eq!(take(&greedy, 100).unwrap_err(), ApiError::KeyShareFull { share: 900 });
        let of_modest: Vec<_> = (0..50).filter_map(|_| take(&modest, 1).ok()).collect();
        assert_eq!(of_modest.len(), 50);
        assert_eq!(take(&greedy, 1).unwrap_err(), ApiError::KeyShareFull { share: 500 });
        drop((of_greedy, of_modest));
        assert!(!endpoint.is_busy());
        // A request heavier than all permits together is admitted, and counted as a quarter of them.
        let small = GatewayConfig { requests_per_endpoint_max: 8, ..GatewayConfig::default() };
        let heavy = Permit::take(&endpoint, &greedy, 128, HeldBytes::of(0), &small).unwrap();
        assert_eq!(heavy.weight, 2);
    }
}

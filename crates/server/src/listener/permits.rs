//! Permits for connections. A connection without a request in progress loses its permit to a new connection
//! when there is none left: the longest silent one first, then the longest idle one. Whoever opens connections and says
//! nothing takes them from himself.
//!
//! Some permits are a reserve for when every connection is busy: a connection in it may ask for the server's health and
//! manage it, and is closed after its first answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dedi_domain::key_failures::network;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Connections of one address beyond its limit that may manage the server.
const RESERVED_PER_IP: u32 = 8;
/// The reserve is one out of this many permits.
const ONE_RESERVED_OF: usize = 8;
/// Permits in the reserve at most: enough for every operator and probe at once.
const RESERVED_MAX: usize = 64;
/// Shortest time between two log lines about evicted connections.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Limits connections in all and per address.
#[derive(Debug)]
pub(super) struct ConnectionPermits {
    max: usize,
    per_ip_max: u32,
    state: Mutex<State>,
    /// One may have become free, or may be taken from somebody.
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    n: usize,
    next: u64,
    /// Connections without a request, those first that go first.
    closable: BTreeMap<Rank, Closable>,
    by_ip: HashMap<IpAddr, OfIp>,
    n_closed: u64,
    logged_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct OfIp {
    n: u32,
    closable: BTreeSet<Rank>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Has not sent a complete request head.
    Silent,
    /// Has been answered, and has no request in progress.
    Idle,
}

/// Eviction order: the lowest is evicted first.
type Rank = (Class, u64);

#[derive(Debug)]
struct Closable {
    ip: Option<IpAddr>,
    close: CancellationToken,
}

/// A connection's permit, until it is dropped or taken away.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    permits: Arc<ConnectionPermits>,
    /// `None` for a trusted proxy.
    ip: Option<IpAddr>,
    /// Its eviction rank while it has no request in progress.
    rank: Mutex<Option<Rank>>,
    /// Cancelled when the permit was given to another connection.
    pub(super) close: CancellationToken,
    /// Taken from the reserve.
    pub(super) is_reserved: bool,
}

impl ConnectionPermits {
    pub(super) fn new(max: usize, per_ip_max: u32) -> Arc<Self> {
        Arc::new(Self { max, per_ip_max, state: Mutex::default(), freed: Notify::new() })
    }

    /// Returns when a connection could have a permit.
    pub(super) async fn free(&self) {
        loop {
            let freed = self.freed.notified();
            {
                let state = self.state.lock();
                if state.n < self.max || !state.closable.is_empty() {
                    return;
                }
            }
            freed.await;
        }
    }

    /// A permit for a connection of this address; `None` if it has too many that are busy.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr, is_trusted: bool) -> Option<ConnectionPermit> {
        let ip = (!is_trusted).then(|| network(peer));
        let mut state = self.state.lock();
        let mut is_reserved = false;
        if let Some(ip) = ip {
            let (n, first) =
                state.by_ip.get(&ip).map_or((0, None), |it| (it.n, it.closable.first().copied()));
            if n >= self.per_ip_max {
                match first {
                    Some(rank) => state.close(rank),
                    None if n < self.per_ip_max + RESERVED_PER_IP => is_reserved = true,
                    None => return None,
                }
            }
        }
        if state.n >= self.max - self.reserved() {
            match state.closable.first_key_value().map(|it| *it.0) {
                Some(rank) => state.close(rank),
                None if state.n < self.max => is_reserved = true,
                None => return None,
            }
        }
        let rank = (Class::Silent, state.draw());
        let close = CancellationToken::new();
        state.n += 1;
        if let Some(ip) = ip {
            state.by_ip.entry(ip).or_default().n += 1;
        }
        state.add(rank, ip, close.clone());
        drop(state);
        Some(ConnectionPermit { permits: self.clone(), ip, rank: Mutex::new(Some(rank)), close, is_reserved })
    }

    fn reserved(&self) -> usize {
        (self.max / ONE_RESERVED_OF).min(RESERVED_MAX)
    }
}

impl State {
    fn draw(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn add(&mut self, rank: Rank, ip: Option<IpAddr>, close: CancellationToken) {
        self.closable.insert(rank, Closable { ip, close });
        if let Some(of_ip) = ip.and_then(|it| self.by_ip.get_mut(&it)) {
            of_ip.closable.insert(rank);
        }
    }

    /// Takes it from those that may be closed; `None` if it was closed before.
    fn take(&mut self, rank: Rank) -> Option<Closable> {
        let it = self.closable.remove(&rank)?;
        if let Some(of_ip) = it.ip.and_then(|it| self.by_ip.get_mut(&it)) {
            of_ip.closable.remove(&rank);
        }
        Some(it)
    }

    /// Evicts a connection: closes it and frees its permit.
    fn close(&mut self, rank: Rank) {
        let Some(it) = self.take(rank) else { return };
        it.close.cancel();
        self.leave(it.ip);
        self.n_closed += 1;
        let now = Instant::now();
        if self.logged_at.is_none_or(|it| now.duration_since(it) >= LOG_INTERVAL) {
            self.logged_at = Some(now);
            tracing::warn!(
                "connections that asked nothing were closed to make room for new ones: {} since the start",
                self.n_closed
            );
        }
    }

    fn leave(&mut self, ip: Option<IpAddr>) {
        self.n -= 1;
        let Some(ip) = ip else { return };
        if let Some(of_ip) = self.by_ip.get_mut(&ip) {
            of_ip.n -= 1;
            if of_ip.n == 0 {
                self.by_ip.remove(&ip);
            }
        }
    }
}

impl ConnectionPermit {
    /// A request has begun: the connection can't be evicted until [`Self::end`].
    pub(super) fn begin(&self) {
        let mut rank = self.rank.lock();
        if let Some(it) = *rank
            && self.permits.state.lock().take(it).is_some()
        {
            *rank = None;
        }
    }

    /// The last request has been answered: the connection may be evicted.
    pub(super) fn end(&self) {
        let mut rank = self.rank.lock();
        if rank.is_some() {
            return; // closed before it began
        }
        let mut state = self.permits.state.lock();
        let it = (Class::Idle, state.draw());
        state.add(it, self.ip, self.close.clone());
        *rank = Some(it);
        drop(state);
        self.permits.freed.notify_one();
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let rank = *self.rank.lock();
        let mut state = self.permits.state.lock();
        let has_permit = match rank {
            None => true,
            Some(it) => state.take(it).is_some(),
        };
        if has_permit {
            state.leave(self.ip);
        }
        drop(state);
        self.permits.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, n])
    }

    fn busy(permits: &Arc<ConnectionPermits>, n: u8) -> Option<ConnectionPermit> {
        permits.enter(ip(n), false).inspect(ConnectionPermit::begin)
    }

    #[test]
    fn permits_of_an_address_are_limited_and_returned() {
        let permits = ConnectionPermits::new(100, 2);
        let first = busy(&permits, 1).unwrap();
        let second = busy(&permits, 1).unwrap();
        assert!(!first.is_reserved && !second.is_reserved);
        let reserve: Vec<_> = (0..RESERVED_PER_IP).map(|_| busy(&permits, 1).unwrap()).collect();
        assert!(reserve.iter().all(|it| it.is_reserved));
        assert!(permits.enter(ip(1), false).is_none());
        assert!(!permits.enter(ip(2), false).unwrap().is_reserved);
        assert!(!permits.enter(ip(1), true).unwrap().is_reserved, "a trusted proxy");
        drop((first, second, reserve));
        assert!(!permits.enter(ip(1), false).unwrap().is_reserved);
        assert_eq!(permits.state.lock().n, 0);
    }

    #[test]
    fn permits_are_shared_by_the_addresses_of_one_network() {
        let permits = ConnectionPermits::new(100, 1);
        let at = |text: &str| permits.enter(text.parse().unwrap(), false).unwrap();
        let first = at("2001:db8::1");
        let other = at("2001:db8:0:1::1");
        let _second = at("2001:db8::2");
        assert!(first.close.is_cancelled() && !other.close.is_cancelled());
    }

    #[test]
    fn permits_are_evicted_silent_first_then_idle_and_never_busy() {
        let permits = ConnectionPermits::new(4, 100); // without a reserve
        let [running, answered, silent, later] = [1, 1, 1, 2].map(|it| permits.enter(ip(it), false).unwrap());
        running.begin();
        answered.begin();
        answered.end();
        let fifth = permits.enter(ip(3), false).unwrap();
        assert!(silent.close.is_cancelled() && !later.close.is_cancelled());
        let sixth = busy(&permits, 3).unwrap();
        assert!(later.close.is_cancelled() && !fifth.close.is_cancelled());
        fifth.begin();
        let _seventh = busy(&permits, 3).unwrap();
        assert!(answered.close.is_cancelled());
        assert!(permits.enter(ip(4), false).is_none(), "all are busy");
        drop((silent, later, answered));
        assert_eq!(permits.state.lock().n, 4, "their permits were given away before");
        assert!(![&running, &fifth, &sixth].iter().any(|it| it.close.is_cancelled()));
    }

    #[test]
    fn permits_have_a_reserve_when_all_connections_are_busy() {
        let permits = ConnectionPermits::new(16, 100);
        let all: Vec<_> = (0..16).map(|_| busy(&permits, 1).unwrap()).collect();
        assert!(all.iter().map(|it| it.is_reserved).eq((0..16).map(|it| it >= 14)));
        assert!(permits.enter(ip(2), false).is_none());
    }

    #[tokio::test]
    async fn permits_that_become_free_wake_the_listener() {
        let permits = ConnectionPermits::new(1, 100);
        let one = busy(&permits, 1).unwrap();
        let waits = tokio::time::timeout(Duration::from_millis(10), permits.free());
        assert!(waits.await.is_err());
        one.end();
        permits.free().await;
        one.begin();
        drop(one);
        permits.free().await;
        assert_eq!(permits.state.lock().by_ip.len(), 0);
    }
}

//! Checks keys and counts wrong ones, so that guessing is slow on every route. A valid key is never turned away for the
//! failures of others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use parking_lot::Mutex;

use crate::keys::{KeyTable, Principal};
use crate::time::{Clock, Timestamp};

const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered at once; beyond it the oldest windows make room or strangers share one count.
const ADDRESSES_MAX: usize = 4_096;

/// Why a request has no valid key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRefusal {
    /// It has none, or a wrong one.
    Invalid,
    /// The same, once too often from that address.
    TooMany {
        /// When the next is looked at.
        retry_after: Duration,
    },
}

/// Wrong keys by address, in windows of a minute and in bounded memory.
#[derive(Debug)]
pub struct KeyFailures {
    per_address_max: u32,
    all_max: u32,
    windows: Mutex<Windows>,
}

#[derive(Debug, Default)]
struct Windows {
    all: Window,
    by_address: HashMap<IpAddr, Window>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    since: Timestamp,
    count: u32,
}

impl Window {
    /// One more; how long until the next window if that is more than `max`.
    fn count(&mut self, max: u32, now: Timestamp) -> Result<(), Duration> {
        if self.is_over(now) {
            *self = Self { since: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        if self.count <= max { Ok(()) } else { Err(WINDOW.saturating_sub(now.since(self.since))) }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.since) >= WINDOW || now < self.since
    }
}

impl KeyFailures {
    /// So many a minute from one address, and from all together; the latter at least as many as the former.
    pub fn new(per_address_max: u32, all_max: u32) -> Self {
        Self { per_address_max, all_max: all_max.max(per_address_max), windows: Mutex::default() }
    }

    /// Whose key it is. A request without a key, or with one that can't be read, counts as one with a wrong key.
    ///
    /// # Errors
    /// The key is not valid now.
    pub fn check(
        &self,
        keys: &KeyTable,
        key: Option<&str>,
        peer: IpAddr,
        clock: &Clock,
    ) -> Result<Principal, KeyRefusal> {
        let valid = key.and_then(|it| keys.check(it, clock.wall()));
        valid.ok_or_else(|| match self.count(peer, clock.now()) {
            Ok(()) => KeyRefusal::Invalid,
            Err(retry_after) => KeyRefusal::TooMany { retry_after },
        })
    }

    /// Counts one more wrong key; `Err` is how long the next ones are not looked at.
    pub fn count(&self, peer: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let mut windows = self.windows.lock();
        let of_all = windows.all.count(self.all_max, now);
        let by_address = &mut windows.by_address;
        let mut network = network(peer);
        if by_address.len() >= ADDRESSES_MAX && !by_address.contains_key(&network) {
            by_address.retain(|_, it| !it.is_over(now));
            if by_address.len() >= ADDRESSES_MAX {
                network = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        let new = Window { since: now, count: 0 };
        by_address.entry(network).or_insert(new).count(self.per_address_max, now).and(of_all)
    }
}

/// What one sender has: an IPv4 address, or the whole /64 of an IPv6 address.
pub fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(it) => IpAddr::V4(it),
        IpAddr::V6(it) => IpAddr::V6(Ipv6Addr::from_bits(it.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Owner;
    use crate::keys::{KeyRecord, KeyText, Role};
    use crate::scope::Scope;

    #[test]
    fn the_eleventh_wrong_key_in_a_minute_is_limited_and_the_next_minute_is_new() {
        let failures = KeyFailures::new(10, 1_000);
        let peer: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        for _ in 0..10 {
            assert!(failures.count(peer, Timestamp(1_000)).is_ok());
        }
        assert_eq!(failures.count(neighbour, Timestamp(11_000)), Err(Duration::from_secs(50)));
        assert!(failures.count("192.0.2.1".parse().unwrap(), Timestamp(11_000)).is_ok());
        assert!(failures.count(peer, Timestamp(61_000)).is_ok());
    }

    #[test]
    fn key_failures_count_a_missing_key_as_a_wrong_one_and_never_a_valid_one() {
        let failures = KeyFailures::new(1, 1_000);
        let text = KeyText::from_random(&[7; 53]);
        let owner = Owner::parse("team").unwrap();
        let (hash, role, scope) = (text.hash(), Role::Viewer, Scope::default());
        let record = KeyRecord { hash, owner: owner.clone(), role, expires_at: None, scope };
        let keys: KeyTable = [(text.id(), record)].into_iter().collect();
        let clock = Clock::new(|| Timestamp(1_000));
        let check = |key| failures.check(&keys, key, "192.0.2.1".parse().unwrap(), &clock);
        assert_eq!(check(None).unwrap_err(), KeyRefusal::Invalid);
        for wrong in [None, Some("x")] {
            let retry_after = Duration::from_secs(60);
            assert_eq!(check(wrong).unwrap_err(), KeyRefusal::TooMany { retry_after });
        }
        assert_eq!(check(Some(text.reveal())).unwrap().owner, owner);
    }

    #[test]
    fn all_addresses_together_have_a_limit_too() {
        let failures = KeyFailures::new(10, 100);
        let count = |n: u32| failures.count(IpAddr::from(n.to_be_bytes()), Timestamp(1_000));
        assert!((0..100).all(|n| count(n).is_ok()));
        assert_eq!(count(100), Err(Duration::from_secs(59)));
        assert!(failures.count(IpAddr::from([1, 1, 1, 1]), Timestamp(61_000)).is_ok());
    }

    #[test]
    fn many_addresses_take_bounded_memory() {
        let failures = KeyFailures::new(10, 1_000);
        for n in 0..20_000_u32 {
            let _ = failures.count(IpAddr::from(n.to_be_bytes()), Timestamp(0));
        }
        assert!(failures.windows.lock().by_address.len() <= ADDRESSES_MAX + 1);
    }
}

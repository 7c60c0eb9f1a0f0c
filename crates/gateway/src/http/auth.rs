//! Who a request comes from. Failures are counted per address, so that guessing is slow; a valid key is never
//! turned away for the failures of others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dedi_domain::{KeyTable, Principal, Timestamp};
use http::{HeaderMap, header};

use super::error::ApiError;

const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered at once; beyond it the oldest windows make room or strangers share one count.
const ADDRESSES_MAX: usize = 4_096;

/// The bearer of a valid key that may run inference.
pub(crate) fn check(
    keys: &KeyTable,
    failures: &FailureLimiter,
    headers: &HeaderMap,
    peer: IpAddr,
    now: Timestamp,
) -> Result<Principal, ApiError> {
    let Some(principal) = bearer(headers).and_then(|it| keys.check(it, now)) else {
        return Err(match failures.count(peer, now) {
            Ok(()) => ApiError::InvalidKey,
            Err(retry_after) => ApiError::TooManyKeys { retry_after },
        });
    };
    if principal.role.may_infer() {
        Ok(principal)
    } else {
        Err(ApiError::RoleForbidden { role: principal.role })
    }
}

/// The key in the one `Authorization` header; two of them are nobody's.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    (values.next().is_none() && scheme.eq_ignore_ascii_case("bearer")).then(|| key.trim())
}

/// Counts wrong keys by address, in windows of a minute and in bounded memory.
#[derive(Debug)]
pub(crate) struct FailureLimiter {
    max: u32,
    windows: Mutex<HashMap<IpAddr, Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Timestamp,
    count: u32,
}

impl FailureLimiter {
    pub(crate) fn new(max: u32) -> Self {
        Self { max, windows: Mutex::default() }
    }

    /// Counts one more; `Err` is how long the address has used up its tries.
    fn count(&self, peer: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut network = network(peer);
        if windows.len() >= ADDRESSES_MAX && !windows.contains_key(&network) {
            windows.retain(|_, it| now.since(it.since) < WINDOW);
            if windows.len() >= ADDRESSES_MAX {
                network = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        let window = windows.entry(network).or_insert(Window { since: now, count: 0 });
        if now.since(window.since) >= WINDOW || now < window.since {
            *window = Window { since: now, count: 0 };
        }
        window.count = window.count.saturating_add(1);
        if window.count <= self.max { Ok(()) } else { Err(WINDOW.saturating_sub(now.since(window.since))) }
    }
}

/// Whoever has one IPv6 address has the whole /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(it) => IpAddr::V4(it),
        IpAddr::V6(it) => IpAddr::V6(Ipv6Addr::from_bits(it.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_wrong_key_in_a_minute_is_limited_and_the_next_minute_is_new() {
        let limiter = FailureLimiter::new(10);
        let peer: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        for _ in 0..10 {
            assert!(limiter.count(peer, Timestamp(1_000)).is_ok());
        }
        assert_eq!(limiter.count(neighbour, Timestamp(11_000)), Err(Duration::from_secs(50)));
        assert!(limiter.count("192.0.2.1".parse().unwrap(), Timestamp(11_000)).is_ok());
        assert!(limiter.count(peer, Timestamp(61_000)).is_ok());
    }

    #[test]
    fn many_addresses_take_bounded_memory() {
        let limiter = FailureLimiter::new(10);
        for n in 0..20_000_u32 {
            let _ = limiter.count(IpAddr::from(n.to_be_bytes()), Timestamp(0));
        }
        assert!(limiter.windows.lock().unwrap().len() <= ADDRESSES_MAX + 1);
    }

    #[test]
    fn only_one_well_formed_bearer_header_counts() {
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(with(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(with(&["bearer  abc "]).as_deref(), Some("abc"));
        assert_eq!(with(&["Basic abc"]), None);
        assert_eq!(with(&["Bearer abc", "Bearer def"]), None);
        assert_eq!(with(&[]), None);
    }
}

//! Slows keys whose requests were on replicas as those crashed. One crash is bad luck; from the second on, a key has to
//! pause between requests, longer with each further crash, until some time has passed without one. Pure; time is an
//! argument.

use std::collections::HashMap;
use std::time::Duration;

use dedi_domain::{EndpointId, KeyId, ReplicaId, Timestamp};

/// Deaths from which a key is slowed.
const DEATHS_MAX: u32 = 2;
/// Pause between two requests of a key with so many; each further death doubles it.
const PAUSE: Duration = Duration::from_secs(5);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// Time without a death after which one is forgotten.
const FORGIVEN_AFTER: Duration = Duration::from_secs(300);
/// Keys that are remembered. Beyond it the one that has been well for longest is forgotten.
const KEYS_MAX: usize = 1_024;

/// A key at an endpoint: what it does to one endpoint's replicas is no reason to slow it at another.
pub(crate) type Suspect = (KeyId, EndpointId);

/// The keys that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Strikes {
    keys: HashMap<Suspect, Strike>,
}

#[derive(Debug)]
struct Strike {
    n_deaths: u32,
    /// Of the last replica: several requests on one that dies count once.
    replica: ReplicaId,
    at: Timestamp,
    /// When its next request is taken.
    next: Timestamp,
}

impl Strike {
    /// Those that are not forgotten.
    fn n_left(&self, now: Timestamp) -> u32 {
        let forgiven = now.since(self.at).as_millis() / FORGIVEN_AFTER.as_millis();
        self.n_deaths.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }
}

fn pause(n_deaths: u32) -> Option<Duration> {
    let further = n_deaths.checked_sub(DEATHS_MAX)?;
    Some(PAUSE.saturating_mul(1 << further.min(16)).min(PAUSE_MAX))
}

impl Strikes {
    /// A request of `key` was on `replica` as it died, and may have been why.
    pub(crate) fn note(&mut self, key: &Suspect, replica: ReplicaId, now: Timestamp) {
        if let Some(known) = self.keys.get_mut(key) {
            if known.replica != replica {
                known.n_deaths = known.n_left(now).saturating_add(1);
                (known.replica, known.at) = (replica, now);
                known.next = pause(known.n_deaths).map_or(now, |it| now.plus(it));
            }
            return;
        }
        if self.keys.len() >= KEYS_MAX {
            let oldest = self.keys.iter().min_by_key(|it| it.1.at).map(|it| it.0.clone());
            oldest.and_then(|it| self.keys.remove(&it));
        }
        self.keys.insert(key.clone(), Strike { n_deaths: 1, replica, at: now, next: now });
    }

    /// Admits one request of `key`, or returns how long it has to wait.
    pub(crate) fn enter(&mut self, key: &Suspect, now: Timestamp) -> Result<(), Duration> {
        let Some(known) = self.keys.get_mut(key) else { return Ok(()) };
        let n_left = known.n_left(now);
        if n_left == 0 {
            self.keys.remove(key);
            return Ok(());
        }
        let Some(pause) = pause(n_left) else { return Ok(()) };
        // A clock that was set back must not keep it out for longer than the pause.
        let next = known.next.min(now.plus(pause));
        if now < next {
            return Err(next.since(now));
        }
        known.next = now.plus(pause);
        Ok(())
    }

    /// Whether requests of `key` are slowed.
    pub(crate) fn is_slowed(&self, key: &Suspect, now: Timestamp) -> bool {
        self.keys.get(key).is_some_and(|it| pause(it.n_left(now)).is_some())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(name: &str) -> Suspect {
        (KeyId(name.to_owned()), EndpointId::from_uuid(Uuid::from_u128(1)))
    }

    fn replica(n: u128) -> ReplicaId {
        ReplicaId::from_uuid(Uuid::from_u128(n))
    }

    #[test]
    fn strikes_two_deaths_slow_a_key_and_further_ones_more() {
        let mut strikes = Strikes::default();
        let at = |secs: i64| Timestamp(secs * 1_000);
        strikes.note(&key("a"), replica(1), at(0));
        strikes.note(&key("a"), replica(1), at(0));
        assert!(strikes.enter(&key("a"), at(0)).is_ok() && !strikes.is_slowed(&key("a"), at(0)));
        strikes.note(&key("a"), replica(2), at(1));
        assert_eq!(strikes.enter(&key("a"), at(2)), Err(Duration::from_secs(4)));
        assert!(strikes.is_slowed(&key("a"), at(2)) && strikes.enter(&key("b"), at(2)).is_ok());
        assert!(strikes.enter(&key("a"), at(6)).is_ok());
        assert_eq!(strikes.enter(&key("a"), at(6)), Err(Duration::from_secs(5)), "one at a time");
        strikes.note(&key("a"), replica(3), at(7));
        assert_eq!(strikes.enter(&key("a"), at(7)), Err(Duration::from_secs(10)));
        for n in 4..40 {
            strikes.note(&key("a"), replica(n), at(8));
        }
        assert_eq!(strikes.enter(&key("a"), at(8)), Err(PAUSE_MAX));
        assert_eq!(strikes.enter(&key("a"), at(-1_000)), Err(PAUSE_MAX), "the clock was set back");
    }

    #[test]
    fn strikes_are_forgotten_one_by_one() {
        let mut strikes = Strikes::default();
        let later = |n: u32| Timestamp(0).plus(FORGIVEN_AFTER.saturating_mul(n));
        strikes.note(&key("a"), replica(1), later(0));
        strikes.note(&key("a"), replica(2), later(0));
        assert!(strikes.is_slowed(&key("a"), later(0)));
        assert!(!strikes.is_slowed(&key("a"), later(1)));
        strikes.note(&key("a"), replica(3), later(1));
        assert!(strikes.is_slowed(&key("a"), later(1)), "one was left");
        assert!(strikes.enter(&key("a"), later(3)).is_ok());
        assert!(strikes.keys.is_empty());
    }

    #[test]
    fn strikes_remember_so_many_keys_and_no_more() {
        let mut strikes = Strikes::default();
        for n in 0..=i64::try_from(KEYS_MAX).unwrap() {
            strikes.note(&key(&n.to_string()), replica(1), Timestamp(n));
        }
        assert_eq!(strikes.keys.len(), KEYS_MAX);
        assert!(!strikes.keys.contains_key(&key("0")) && strikes.keys.contains_key(&key("1")));
    }

    #[test]
    fn strikes_at_one_endpoint_slow_a_key_there_only() {
        let mut strikes = Strikes::default();
        let elsewhere = (key("a").0, EndpointId::from_uuid(Uuid::from_u128(2)));
        strikes.note(&key("a"), replica(1), Timestamp(0));
        strikes.note(&key("a"), replica(2), Timestamp(0));
        assert!(strikes.is_slowed(&key("a"), Timestamp(0)));
        assert!(
            !strikes.is_slowed(&elsewhere, Timestamp(0)) && strikes.enter(&elsewhere, Timestamp(0)).is_ok()
        );
    }
}

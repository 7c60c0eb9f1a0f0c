//! When keys were last used: noted in memory by each request, written down once a minute.

use std::collections::BTreeMap;
use std::time::Duration;

use dedi_domain::{KeyId, Timestamp};
use parking_lot::Mutex;

/// Between two writes. What is shown is as old at most, and a server that dies loses no more.
const WRITE_EVERY: Duration = Duration::from_secs(60);

/// The uses that are not written down yet.
#[derive(Debug, Default)]
pub(crate) struct KeyUses(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    used: BTreeMap<KeyId, Timestamp>,
    /// What was written last, so that the same is not written again.
    written: BTreeMap<KeyId, Timestamp>,
    written_at: Option<Timestamp>,
}

impl KeyUses {
    /// A key was used.
    pub(crate) fn note(&self, key: &KeyId, at: Timestamp) {
        let mut inner = self.0.lock();
        if inner.written.get(key).is_some_and(|last| at.since(*last) < WRITE_EVERY) {
            return;
        }
        let last = inner.used.entry(key.clone()).or_default();
        *last = (*last).max(at);
    }

    /// What is to be written down now; nothing within a minute of the last time.
    pub(crate) fn due(&self, now: Timestamp) -> BTreeMap<KeyId, Timestamp> {
        let mut inner = self.0.lock();
        let is_soon = inner.written_at.is_some_and(|it| now.since(it) < WRITE_EVERY);
        if is_soon || inner.used.is_empty() {
            return BTreeMap::new();
        }
        inner.written_at = Some(now);
        // Those that have not been used for long are forgotten here: they are written down.
        inner.written.retain(|_, at| now.since(*at) < WRITE_EVERY);
        let used = std::mem::take(&mut inner.used);
        inner.written.extend(used.iter().map(|(key, at)| (key.clone(), *at)));
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_use_is_written_once_a_minute() {
        let (uses, key) = (KeyUses::default(), KeyId("a".to_owned()));
        let at = |secs: i64| Timestamp(secs * 1_000);
        for secs in 0..30 {
            uses.note(&key, at(secs));
        }
        assert_eq!(uses.due(at(30)), BTreeMap::from([(key.clone(), at(29))]));
        uses.note(&key, at(31));
        assert_eq!(uses.due(at(200)), BTreeMap::new(), "within the minute");
        uses.note(&key, at(201));
        assert_eq!(uses.due(at(202)), BTreeMap::from([(key.clone(), at(201))]));
        uses.note(&key, at(270));
        assert_eq!(uses.due(at(260)), BTreeMap::new(), "not so soon");
        assert_eq!(uses.due(at(270)).len(), 1);
    }
}

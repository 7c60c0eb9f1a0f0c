//! The memory that all request bodies share, and how it is shared out. Whoever holds some may take more only as long as
//! at least as much is left for others: so one tenant gets half of it, two a third each, and whoever comes last still
//! finds some. A tenant's keys share what it gets in the same way.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use dedi_domain::{KeyId, Owner};
use parking_lot::Mutex;

use crate::error::ApiError;

/// All request bodies that a gateway holds.
#[derive(Debug, Default)]
pub(crate) struct BodyMemory {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    total: u64,
    tenants: HashMap<Owner, u64>,
    keys: HashMap<KeyId, u64>,
}

/// A body's part of it; given back when dropped.
#[derive(Debug)]
pub(crate) struct HeldBytes {
    memory: Arc<BodyMemory>,
    tenant: Owner,
    key: KeyId,
    bytes: u64,
}

impl BodyMemory {
    /// Nothing yet, for a body of that key.
    pub(crate) fn begin(self: &Arc<Self>, tenant: &Owner, key: &KeyId) -> HeldBytes {
        HeldBytes { memory: self.clone(), tenant: tenant.clone(), key: key.clone(), bytes: 0 }
    }
}

impl HeldBytes {
    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    #[cfg(test)]
    pub(crate) fn of(bytes: u64) -> Self {
        let held = Held { total: bytes, ..Held::default() };
        let memory = Arc::new(BodyMemory { held: Mutex::new(held) });
        let tenant = Owner::parse("test").unwrap();
        Self { memory, tenant, key: KeyId(String::new()), bytes }
    }

    /// Takes `more` of the `max` that there is in all.
    pub(crate) fn grow(&mut self, more: usize, max: u64) -> Result<(), ApiError> {
        let more = more as u64;
        let mut held = self.memory.held.lock();
        let of_tenant = held.tenants.get(&self.tenant).copied().unwrap_or(0);
        let of_key = held.keys.get(&self.key).copied().unwrap_or(0);
        let Some(left) = max.checked_sub(held.total.saturating_add(more)) else {
            return Err(ApiError::MemoryFull);
        };
        // One body alone is measured by what there is, or the longest that may be sent could never come.
        let has_others = |all: u64| all > self.bytes;
        if has_others(of_tenant) && of_tenant.saturating_add(more) > left {
            return Err(ApiError::MemoryShareFull { bytes: of_tenant });
        }
        if has_others(of_key) && of_key.saturating_add(more) > left / 2 {
            return Err(ApiError::MemoryShareFull { bytes: of_key });
        }
        held.total += more;
        *held.tenants.entry(self.tenant.clone()).or_default() += more;
        *held.keys.entry(self.key.clone()).or_default() += more;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        let mut held = self.memory.held.lock();
        held.total = held.total.saturating_sub(self.bytes);
        give(&mut held.tenants, &self.tenant, self.bytes);
        give(&mut held.keys, &self.key, self.bytes);
    }
}

/// Who holds nothing is not listed, so the lists are no longer than what there is to hold.
fn give<K: Eq + Hash>(all: &mut HashMap<K, u64>, who: &K, bytes: u64) {
    if let Some(of) = all.get_mut(who) {
        *of = of.saturating_sub(bytes);
        if *of == 0 {
            all.remove(who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 1_200;

    fn all_of(memory: &Arc<BodyMemory>, tenant: &str, key: &str) -> Vec<HeldBytes> {
        let body = || {
            let mut held = memory.begin(&Owner::parse(tenant).ok()?, &KeyId(key.to_owned()));
            held.grow(10, MAX).ok().map(|()| held)
        };
        std::iter::from_fn(body).collect()
    }

    #[test]
    fn memory_whoever_comes_last_finds_some() {
        let memory = Arc::new(BodyMemory::default());
        let first = all_of(&memory, "a", "a1");
        assert_eq!(first.len(), 40, "a key alone gets a third");
        let second = all_of(&memory, "a", "a2");
        assert_eq!(first.len() + second.len(), 60, "a tenant gets half");
        let others: Vec<_> = ["b", "c", "d", "e"].into_iter().map(|it| all_of(&memory, it, it)).collect();
        assert!(
            others.iter().all(|it| it.len() >= 2),
            "{:?}",
            others.iter().map(Vec::len).collect::<Vec<_>>()
        );
        drop((first, second));
        assert!(all_of(&memory, "e", "e").len() > 10);
        drop(others);
        let held = memory.held.lock();
        assert!(held.total == 0 && held.tenants.is_empty() && held.keys.is_empty(), "{held:?}");
    }

    #[test]
    fn memory_one_body_may_be_as_long_as_there_is_room() {
        let memory = Arc::new(BodyMemory::default());
        let owner = Owner::parse("a").unwrap();
        let mut body = memory.begin(&owner, &KeyId("a1".to_owned()));
        for _ in 0..120 {
            body.grow(10, MAX).unwrap();
        }
        assert_eq!(body.grow(1, MAX).unwrap_err(), ApiError::MemoryFull);
        assert_eq!(body.bytes(), MAX);
    }
}

//! Whose download runs now: one of each tenant, so many at once, the others in the order they came. One that hardly moves
//! gives its place to who waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dedi_domain::Owner;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::progress::Progress;

/// How long a download may be slow while others wait.
const SLOW_FOR: Duration = Duration::from_secs(30);
/// Bytes a second below which it is: a hub or a line that gives less is stuck, or means harm.
const SLOW_BYTES_PER_SEC: u64 = 64 << 10;

/// Bounds the downloads that run at once. `None` as the owner is the operator.
#[derive(Debug)]
pub(super) struct DownloadSlots {
    all: Arc<Semaphore>,
    of_each: Mutex<BTreeMap<Option<Owner>, Arc<Semaphore>>>,
    /// Downloads that hold their tenant's slot and wait for one of all.
    n_waiting: AtomicUsize,
    slow_for: Duration,
}

/// Lets one download run until dropped.
#[derive(Debug)]
pub(super) struct DownloadSlot {
    _place: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl DownloadSlots {
    pub(super) fn new(n_at_once: u32) -> Self {
        Self::with(n_at_once, SLOW_FOR)
    }

    fn with(n_at_once: u32, slow_for: Duration) -> Self {
        Self {
            slow_for,
            all: Arc::new(Semaphore::new(usize::try_from(n_at_once).unwrap_or(1))),
            of_each: Mutex::default(),
            n_waiting: AtomicUsize::new(0),
        }
    }

    /// A slot, if one is free now.
    pub(super) fn try_take(&self, of: &Option<Owner>) -> Option<DownloadSlot> {
        let own = self.own(of).try_acquire_owned().ok()?;
        let place = self.all.clone().try_acquire_owned().ok()?;
        Some(DownloadSlot { _place: place, _own: own })
    }

    /// Waits for a slot; `None` once the slots are closed.
    pub(super) async fn take(&self, of: &Option<Owner>) -> Option<DownloadSlot> {
        let own = self.own(of).acquire_owned().await.ok()?;
        let _waiting = Waiting::enter(&self.n_waiting);
        let place = self.all.clone().acquire_owned().await.ok()?;
        Some(DownloadSlot { _place: place, _own: own })
    }

    /// Returns when the download has hardly moved for a while in which others waited for a place.
    pub(super) async fn must_yield(&self, progress: &Progress) {
        loop {
            let before = progress.done.load(Ordering::Relaxed);
            sleep(self.slow_for).await;
            let came = progress.done.load(Ordering::Relaxed).saturating_sub(before);
            let is_slow = came
                < SLOW_BYTES_PER_SEC.saturating_mul(self.slow_for.as_millis().try_into().unwrap_or(u64::MAX))
                    / 1_000;
            if is_slow && self.n_waiting.load(Ordering::SeqCst) > 0 {
                return;
            }
        }
    }

    fn own(&self, of: &Option<Owner>) -> Arc<Semaphore> {
        let mut all = self.of_each.lock();
        // Those that nobody holds or waits for.
        all.retain(|_, it| it.available_permits() == 0 || Arc::strong_count(it) > 1);
        all.entry(of.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
    }
}

/// Counts while it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(slug: &str) -> Option<Owner> {
        Owner::parse(slug).ok()
    }

    const WINDOW: Duration = Duration::from_millis(40);
    const BOUND: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn turn_is_one_a_tenant_and_a_slow_one_yields_to_who_waits() {
        let slots = DownloadSlots::with(2, WINDOW);
        let first = slots.try_take(&owner("a")).unwrap();
        assert!(slots.try_take(&owner("a")).is_none(), "one of a tenant");
        let operators = slots.try_take(&None).unwrap();
        assert!(slots.try_take(&owner("b")).is_none(), "all places are taken");
        let progress = Progress::default();
        let alone = tokio::time::timeout(WINDOW * 5, slots.must_yield(&progress)).await;
        assert!(alone.is_err(), "nobody waits");
        let other = owner("b");
        let waits = slots.take(&other);
        let yields = async {
            tokio::time::timeout(BOUND, slots.must_yield(&progress)).await.unwrap();
            drop(first);
        };
        let (slot, ()) = tokio::join!(waits, yields);
        assert!(slot.is_some());
        drop((slot, operators));
        assert!(slots.try_take(&owner("a")).is_some());
    }

    #[tokio::test]
    async fn turn_of_a_fast_download_is_kept_while_others_wait() {
        let slots = DownloadSlots::with(1, WINDOW);
        let _slot = slots.try_take(&None).unwrap();
        let other = owner("b");
        let progress = Progress::default();
        let moves = async {
            // Ahead of every window, however late this task is run.
            loop {
                progress.done.fetch_add(SLOW_BYTES_PER_SEC, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = slots.must_yield(&progress) => panic!("it was taken for slow"),
            _ = slots.take(&other) => panic!("there is one place"),
            () = moves => {}
            () = sleep(WINDOW * 5) => {}
        }
    }
}

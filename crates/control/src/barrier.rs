//! Read-your-writes: a request that changes something is answered once a later pass has published to the gateway, so
//! that the next request, on whatever route, finds the change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Longest wait of a request for the pass that follows it. The change is recorded, so it succeeds all the same.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Numbers the reconciler's passes and lets requests wait for one.
#[derive(Debug)]
pub(crate) struct PassBarrier {
    nudge: Arc<Notify>,
    is_running: AtomicBool,
    begun: AtomicU64,
    published: watch::Sender<u64>,
}

impl PassBarrier {
    pub(crate) fn new() -> Self {
        Self {
            nudge: Arc::default(),
            is_running: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            published: watch::Sender::new(0),
        }
    }

    /// What wakes the loop; for those who do not wait for it.
    pub(crate) fn nudge(&self) -> Arc<Notify> {
        self.nudge.clone()
    }

    /// Says that something has changed, without waiting for a pass.
    pub(crate) fn wake(&self) {
        self.nudge.notify_one();
    }

    /// Says that something has changed, and waits until a pass that began afterwards has published to the gateway.
    pub(crate) async fn ask(&self) {
        let before = self.begun.load(Ordering::SeqCst);
        self.wake();
        if self.is_running.load(Ordering::SeqCst) {
            let mut published = self.published.subscribe();
            let _elapsed = timeout(WAIT_MAX, published.wait_for(|it| *it > before)).await;
        }
    }

    /// The loop waits here to be asked.
    pub(crate) async fn asked(&self) {
        self.nudge.notified().await;
    }

    /// Whether a loop runs that answers.
    pub(crate) fn set_running(&self, is_running: bool) {
        self.is_running.store(is_running, Ordering::SeqCst);
    }

    /// Begins a pass and returns its number.
    pub(crate) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Passes that have begun.
    #[cfg(test)]
    pub(crate) fn n_begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// Whether the last pass that began has not published to the gateway yet.
    #[cfg(test)]
    pub(crate) fn is_in_pass(&self) -> bool {
        *self.published.borrow() < self.n_begun()
    }

    /// The pass of that number has published to the gateway.
    pub(crate) fn complete(&self, pass: u64) {
        self.published.send_replace(pass);
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn barrier_ignores_a_pass_that_began_before_the_change() {
        let barrier = Arc::new(PassBarrier::new());
        barrier.set_running(true);
        let early = barrier.begin();
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let barrier = barrier.clone();
            async move { barrier.ask().await }
        });
        barrier.asked().await;
        barrier.complete(early);
        tokio::task::yield_now().await;
        assert!(tasks.try_join_next().is_none());
        barrier.complete(barrier.begin());
        tasks.join_next().await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn barrier_does_not_wait_for_a_stuck_loop_for_ever() {
        let barrier = PassBarrier::new();
        barrier.set_running(true);
        let begun = tokio::time::Instant::now();
        barrier.ask().await;
        assert_eq!(begun.elapsed(), WAIT_MAX);
        assert_eq!(barrier.begin(), 1, "no pass began meanwhile");
    }
}

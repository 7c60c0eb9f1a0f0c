//! Reads what one has written: a request that changes something is answered once the gateway has been told, so that
//! the next request, on whatever route, finds the change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Longest wait of a request for the look that follows it. The change is recorded, so it is answered all the same.
const TOLD_MAX: Duration = Duration::from_secs(1);

/// The reconciler's looks at the store, numbered.
#[derive(Debug)]
pub(crate) struct Looks {
    nudge: Arc<Notify>,
    is_running: AtomicBool,
    begun: AtomicU64,
    told: watch::Sender<u64>,
}

impl Looks {
    pub(crate) fn new() -> Self {
        Self {
            nudge: Arc::default(),
            is_running: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            told: watch::Sender::new(0),
        }
    }

    /// What wakes the loop; for those who do not wait for it.
    pub(crate) fn nudge(&self) -> Arc<Notify> {
        self.nudge.clone()
    }

    /// Says that something has changed, without waiting for a look.
    pub(crate) fn wake(&self) {
        self.nudge.notify_one();
    }

    /// Says that something has changed, and waits until a look that began afterwards has told the gateway.
    pub(crate) async fn ask(&self) {
        let before = self.begun.load(Ordering::SeqCst);
        self.wake();
        if self.is_running.load(Ordering::SeqCst) {
            let mut told = self.told.subscribe();
            let _elapsed = timeout(TOLD_MAX, told.wait_for(|it| *it > before)).await;
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

    /// A look begins; its number.
    pub(crate) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Looks that have begun.
    #[cfg(test)]
    pub(crate) fn n_begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// Whether the last look that began has not told the gateway yet.
    #[cfg(test)]
    pub(crate) fn is_looking(&self) -> bool {
        *self.told.borrow() < self.n_begun()
    }

    /// What the look of that number found is with the gateway.
    pub(crate) fn tell(&self, look: u64) {
        self.told.send_replace(look);
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn a_look_that_began_before_the_change_does_not_answer_it() {
        let looks = Arc::new(Looks::new());
        looks.set_running(true);
        let early = looks.begin();
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let looks = looks.clone();
            async move { looks.ask().await }
        });
        looks.asked().await;
        looks.tell(early);
        tokio::task::yield_now().await;
        assert!(tasks.try_join_next().is_none());
        looks.tell(looks.begin());
        tasks.join_next().await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_loop_is_not_waited_for_for_ever() {
        let looks = Looks::new();
        looks.set_running(true);
        let begun = tokio::time::Instant::now();
        looks.ask().await;
        assert_eq!(begun.elapsed(), TOLD_MAX);
        assert_eq!(looks.begin(), 1, "nobody looked meanwhile");
    }
}

//! How many checks of files read at once. One of the lanes takes small models only: however many large ones are read, or
//! hang on a disk that does not answer, a small one waits for small ones at most.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Checks of models of any size that read at once: two share a disk without much loss, and one that hangs leaves one.
const ANY_SIZE_AT_ONCE: usize = 2;
/// Further checks that read at once, of small models only.
const SMALL_AT_ONCE: usize = 1;
/// Bytes up to which a model is small: read within seconds from any disk.
pub(super) const SMALL_BYTES_MAX: u64 = 1 << 30;

/// The places at which files are read.
#[derive(Debug)]
pub(super) struct Lanes {
    any: Arc<Semaphore>,
    small: Arc<Semaphore>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            any: Arc::new(Semaphore::new(ANY_SIZE_AT_ONCE)),
            small: Arc::new(Semaphore::new(SMALL_AT_ONCE)),
        }
    }
}

impl Lanes {
    /// A place for a model of so many bytes; those of a size get theirs in the order they came in.
    pub(super) async fn enter(&self, n_bytes: u64) -> Option<OwnedSemaphorePermit> {
        let any = self.any.clone().acquire_owned();
        if n_bytes > SMALL_BYTES_MAX {
            return any.await.ok();
        }
        tokio::select! {
            biased;
            place = self.small.clone().acquire_owned() => place.ok(),
            place = any => place.ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn small_models_pass_large_ones_and_not_the_bound() {
        let lanes = Lanes::default();
        let large = SMALL_BYTES_MAX + 1;
        let held = [lanes.enter(large).await.unwrap(), lanes.enter(large).await.unwrap()];
        assert!(lanes.enter(large).now_or_never().is_none(), "one more than there are places");
        let small = lanes.enter(SMALL_BYTES_MAX).await.unwrap();
        assert!(lanes.enter(1).now_or_never().is_none(), "one more than there are places");
        drop(held);
        let also = lanes.enter(1).now_or_never().flatten();
        assert!(also.is_some(), "a small one takes any place");
        drop(small);
    }
}

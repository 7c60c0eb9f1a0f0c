//! Reads of the model store, where the disk may hang: so many at a time, and nobody waits for one longer than for any
//! other answer. A read that hangs keeps its permit until the disk answers, so that no other hangs beside it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{ModelError, ModelStore};

/// Longest wait for the model store: it reads folders and the beginnings of files.
pub(crate) const READ_MAX: Duration = Duration::from_secs(5);

/// A bounded pool of blocking reads for one kind of caller. Clones share the bound.
#[derive(Clone, Debug)]
pub(crate) struct BlockingReader {
    models: Arc<ModelStore>,
    permits: Arc<Semaphore>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The disk has not answered in time.
    Late(Duration),
    /// The read panicked, which the log has.
    Panicked,
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Late(wait) => {
                write!(f, "the model store's disk did not answer within {} s", wait.as_secs())
            }
            Self::Panicked => f.write_str("the read failed inside of dedi, whose log says where"),
        }
    }
}

impl From<NoAnswer> for ModelError {
    fn from(why: NoAnswer) -> Self {
        match why {
            NoAnswer::Late(_) => Self::Unreadable(why.to_string()),
            NoAnswer::Panicked => Self::Unusable(why.to_string()),
        }
    }
}

impl BlockingReader {
    pub(crate) fn new(models: Arc<ModelStore>, n_at_once: usize) -> Self {
        Self { models, permits: Arc::new(Semaphore::new(n_at_once)) }
    }

    /// Where the models are.
    pub(crate) fn folder(&self) -> &Path {
        self.models.folder()
    }

    /// Begins a read; `None` where all permits are taken.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ModelStore) -> T + Send + 'static,
    ) -> Option<JoinHandle<T>> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        Some(self.spawn(permit, read))
    }

    /// The answer to a read, waited for at most for `wait`. One that comes later is nobody's.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        wait: Duration,
        read: impl FnOnce(&ModelStore) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let answer = async {
            let permit = self.permits.clone().acquire_owned().await.map_err(|_closed| NoAnswer::Panicked)?;
            self.spawn(permit, read).await.map_err(|_panicked| NoAnswer::Panicked)
        };
        timeout(wait, answer).await.unwrap_or(Err(NoAnswer::Late(wait)))
    }

    /// As `ask`, without waiting for a permit.
    pub(crate) async fn ask_now<T: Send + 'static>(
        &self,
        wait: Duration,
        read: impl FnOnce(&ModelStore) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let Some(answer) = self.begin(read) else { return Err(NoAnswer::Late(wait)) };
        match timeout(wait, answer).await {
            Ok(answer) => answer.map_err(|_panicked| NoAnswer::Panicked),
            Err(_elapsed) => Err(NoAnswer::Late(wait)),
        }
    }

    fn spawn<T: Send + 'static>(
        &self,
        permit: OwnedSemaphorePermit,
        read: impl FnOnce(&ModelStore) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let models = self.models.clone();
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read(&models)
        })
    }
}

//! The checks of models' files: one reads at a time, in the background, and everybody else looks how far it is.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dedi_domain::{Fetch, ModelName, Timestamp};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::verify::{Progress, Right, Scope, Stamps};
use super::{ModelError, ModelStore};
use crate::shared::Clock;

/// How long a look waits for a check that it began: most models of tests and toys are done by then.
const LOOK_WAIT: Duration = Duration::from_millis(200);
const END_MAX: Duration = Duration::from_secs(10);
/// Checks that are remembered.
const REMEMBERED_MAX: usize = 1_000;

/// All checks. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Checks(Arc<Inner>);

struct Inner {
    models: Arc<ModelStore>,
    clock: Clock,
    /// Notified when a check has ended.
    changed: Arc<Notify>,
    jobs: Mutex<BTreeMap<ModelName, Job>>,
    /// Two at once would share the disk.
    turn: Arc<Semaphore>,
    tasks: TaskTracker,
}

#[derive(Clone)]
struct Job {
    /// Of the files when it began; `None` where they could not be looked at.
    stamps: Option<Stamps>,
    progress: Arc<Progress>,
    ended: CancellationToken,
    check: Check,
}

/// One check, as others see it.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) model: ModelName,
    pub(crate) started_at: Timestamp,
    pub(crate) bytes_done: u64,
    pub(crate) bytes_total: u64,
    /// When it ended and how, if it did.
    pub(crate) ended: Option<(Timestamp, Result<Right, ModelError>)>,
}

/// What is known of a model's files as they are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They are what they must be.
    Right,
    /// Nobody has looked yet.
    Unknown,
}

impl Checks {
    pub(crate) fn new(models: Arc<ModelStore>, clock: Clock, changed: Arc<Notify>) -> Self {
        Self(Arc::new(Inner {
            models,
            clock,
            changed,
            jobs: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
            tasks: TaskTracker::new(),
        }))
    }

    /// Begins a check of a model whose files, with these stamps, are not known to be right, and says how far it is while
    /// it lasts.
    pub(crate) async fn look(&self, model: &ModelName, stamps: &Stamps) -> Option<Fetch> {
        let known = self.jobs().get(model).cloned();
        if !known.is_some_and(|it| it.check.ended.is_none() || it.stamps.as_ref() == Some(stamps)) {
            let job = self.begin(model, Scope::Changed, Some(stamps.clone()));
            let _ended = timeout(LOOK_WAIT, job.ended.cancelled()).await;
        }
        let job = self.jobs().get(model).cloned()?;
        job.check.ended.is_none().then(|| Fetch::Checking {
            bytes_done: job.progress.done.load(Ordering::Relaxed),
            bytes_total: job.progress.total.load(Ordering::Relaxed),
            since: job.check.started_at,
        })
    }

    /// Whether the files may be loaded as they are now, by their stamps and whether they were right under those.
    pub(crate) fn verdict(
        &self,
        model: &ModelName,
        read: Result<(Stamps, bool), ModelError>,
    ) -> Result<Verdict, ModelError> {
        let (stamps, is_right) = read?;
        if is_right {
            return Ok(Verdict::Right);
        }
        let jobs = self.jobs();
        let same = jobs.get(model).filter(|it| it.stamps.as_ref() == Some(&stamps));
        match same.and_then(|it| it.check.ended.as_ref()) {
            Some((_, Err(wrong))) => Err(wrong.clone()),
            Some((_, Ok(_))) | None => Ok(Verdict::Unknown),
        }
    }

    /// Begins a check that somebody asked for, of files with these stamps.
    pub(crate) fn start(&self, model: &ModelName, scope: Scope, stamps: Option<Stamps>) -> Check {
        self.begin(model, scope, stamps).seen()
    }

    /// The last check of a model.
    pub(crate) fn get(&self, model: &ModelName) -> Option<Check> {
        self.jobs().get(model).map(Job::seen)
    }

    /// Ends every check.
    pub(crate) async fn close(&self) {
        for job in self.jobs().values() {
            job.progress.stop.store(true, Ordering::Relaxed);
        }
        self.0.tasks.close();
        if timeout(END_MAX, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("a check of a model's files did not end within {} s", END_MAX.as_secs());
        }
    }

    /// Takes up work again after [`Checks::close`]; what was ended begins anew when it is asked for.
    pub(crate) fn reopen(&self) {
        self.jobs().clear();
        self.0.tasks.reopen();
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<ModelName, Job>> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, model: &ModelName, scope: Scope, stamps: Option<Stamps>) -> Job {
        let check = Check {
            model: model.clone(),
            started_at: self.0.clock.now(),
            bytes_done: 0,
            bytes_total: 0,
            ended: None,
        };
        let job = Job { stamps, progress: Arc::default(), ended: CancellationToken::new(), check };
        let mut jobs = self.jobs();
        while jobs.len() >= REMEMBERED_MAX {
            let Some(over) = jobs.iter().find(|(_, it)| it.check.ended.is_some()) else { break };
            let over = over.0.clone();
            jobs.remove(&over);
        }
        jobs.insert(model.clone(), job.clone());
        let (inner, own) = (self.0.clone(), job.clone());
        self.0.tasks.spawn(async move {
            let _turn = inner.turn.acquire().await;
            let (models, name, progress) =
                (inner.models.clone(), own.check.model.clone(), own.progress.clone());
            let read = tokio::task::spawn_blocking(move || models.verify(&name, scope, &progress)).await;
            let verdict = read.unwrap_or_else(|err| {
                Err(ModelError::Unusable(format!("{}: its files could not be read ({err})", own.check.model)))
            });
            inner.ended(&own, verdict);
        });
        job
    }
}

impl Inner {
    fn ended(&self, job: &Job, verdict: Result<Right, ModelError>) {
        let model = &job.check.model;
        match &verdict {
            Ok(right) => {
                tracing::info!(%model, n_bytes = right.n_bytes, "a model's files are what they must be")
            }
            Err(wrong) => tracing::error!(%model, "a model's files are not what they must be: {wrong}"),
        }
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        // Another one may have begun meanwhile.
        if let Some(shown) = jobs.get_mut(model).filter(|it| Arc::ptr_eq(&it.progress, &job.progress)) {
            shown.check.ended = Some((self.clock.now(), verdict));
        }
        drop(jobs);
        job.ended.cancel();
        self.changed.notify_one();
    }
}

impl Job {
    fn seen(&self) -> Check {
        Check {
            bytes_done: self.progress.done.load(Ordering::Relaxed),
            bytes_total: self.progress.total.load(Ordering::Relaxed),
            ..self.check.clone()
        }
    }
}

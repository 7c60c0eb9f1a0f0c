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
use crate::clock::Clock;

/// How long a look waits for a check that it began: most models of tests and toys are done by then.
const LOOK_WAIT: Duration = Duration::from_millis(200);
const END_MAX: Duration = Duration::from_secs(10);
/// Pause after a check that could not read a file; it doubles with each further one. Reading a large model again and
/// again does a broken disk no good.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Longest such pause.
const READ_AGAIN_AFTER_MAX: Duration = Duration::from_secs(600);
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
    /// Checks of the model in a row, before this one, that could not read a file.
    n_unread: u32,
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
        let now = self.0.clock.now();
        if !known.is_some_and(|it| it.answers(stamps, now)) {
            let job = self.begin(model, Scope::Changed, Some(stamps.clone()));
            let _ended = timeout(LOOK_WAIT, job.ended.cancelled()).await;
        }
        let job = self.jobs().get(model).cloned()?;
        match job.check.ended {
            None => Some(Fetch::Checking {
                bytes_done: job.progress.done.load(Ordering::Relaxed),
                bytes_total: job.progress.total.load(Ordering::Relaxed),
                since: job.check.started_at,
            }),
            Some((_, Err(ModelError::Unreadable(what)))) => Some(Fetch::Unreadable { what }),
            // What is wrong is told by the launch.
            Some((_, Ok(_) | Err(ModelError::Absent(_) | ModelError::Unusable(_)))) => None,
        }
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
        let mut jobs = self.jobs();
        let n_unread = jobs.get(model).map_or(0, Job::n_unread);
        let (progress, ended) = (Arc::default(), CancellationToken::new());
        let job = Job { stamps, progress, ended, check, n_unread };
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
            Err(ModelError::Unreadable(what)) => {
                tracing::warn!(%model, "a model's files could not be read, and will be again after a while: {what}");
            }
            Err(wrong @ (ModelError::Absent(_) | ModelError::Unusable(_))) => {
                tracing::error!(%model, "a model's files are not what they must be: {wrong}");
            }
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
    /// Whether it says of files with these stamps what there is to say now.
    fn answers(&self, stamps: &Stamps, now: Timestamp) -> bool {
        let Some((at, verdict)) = &self.check.ended else { return true };
        let is_over = match verdict {
            Ok(_) | Err(ModelError::Unusable(_)) => false,
            Err(ModelError::Unreadable(_) | ModelError::Absent(_)) => {
                let doubled = READ_AGAIN_AFTER.saturating_mul(2_u32.saturating_pow(self.n_unread));
                now.since(*at) >= doubled.min(READ_AGAIN_AFTER_MAX)
            }
        };
        self.stamps.as_ref() == Some(stamps) && !is_over
    }

    /// Checks of the model in a row, up to this one, that could not read a file.
    fn n_unread(&self) -> u32 {
        match &self.check.ended {
            Some((_, Err(ModelError::Unreadable(_)))) => self.n_unread.saturating_add(1),
            Some((_, Ok(_) | Err(ModelError::Absent(_) | ModelError::Unusable(_)))) | None => 0,
        }
    }

    fn seen(&self) -> Check {
        Check {
            bytes_done: self.progress.done.load(Ordering::Relaxed),
            bytes_total: self.progress.total.load(Ordering::Relaxed),
            ..self.check.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use super::*;
    use crate::testing::{Gguf, gguf};

    #[tokio::test]
    async fn files_that_could_not_be_read_are_read_again_after_a_pause_that_grows() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/b/b.gguf");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, gguf(&Gguf::default())).unwrap();
        let models = Arc::new(ModelStore::new(dir.path().to_owned()));
        let now = Arc::new(AtomicI64::new(0));
        let reads = now.clone();
        let clock = Clock::new(
            move || Timestamp(reads.load(Ordering::Relaxed)),
            || Duration::ZERO,
            |_| panic!("nobody sets it"),
            Timestamp::default,
        );
        let checks = Checks::new(models.clone(), clock, Arc::default());
        let model = ModelName::parse("a/b").unwrap();
        let stamps = models.stamps(&model).unwrap().0;
        let begun = || checks.get(&model).unwrap().started_at;
        let fail = |what| {
            let job = checks.jobs().get(&model).cloned().unwrap();
            checks.0.ended(&job, Err(what));
        };
        assert_eq!(checks.look(&model, &stamps).await, None, "it is right");
        let mut pauses = Vec::new();
        for _ in 0..8 {
            fail(ModelError::Unreadable("b.gguf: it can't be read (EIO)".to_owned()));
            let at = begun();
            loop {
                let told = checks.look(&model, &stamps).await;
                if begun() > at {
                    assert_eq!(told, None, "it was read again, and is right");
                    break;
                }
                let what = "b.gguf: it can't be read (EIO)".to_owned();
                assert_eq!(told, Some(Fetch::Unreadable { what }));
                now.fetch_add(1_000, Ordering::Relaxed);
            }
            pauses.push(begun().since(at).as_secs());
        }
        // What is wrong stays wrong until the files are others.
        fail(ModelError::Unusable("b.gguf: its content is not what it was".to_owned()));
        let at = begun();
        now.fetch_add(86_400_000, Ordering::Relaxed);
        assert_eq!((checks.look(&model, &stamps).await, begun()), (None, at));
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600]);
    }
}

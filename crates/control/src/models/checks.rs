//! The checks of models' files: few read at a time, in the background, and everybody else looks how far they are. One
//! that nobody needs any more ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dedi_domain::{Fetch, ModelName, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::lanes::{Lanes, SMALL_BYTES_MAX};
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
    lanes: Lanes,
    n_begun: AtomicU64,
    tasks: TaskTracker,
}

#[derive(Clone)]
struct Job {
    /// Of the files when it began; `None` where they could not be looked at.
    stamps: Option<Stamps>,
    progress: Arc<Progress>,
    ended: CancellationToken,
    /// Whether its files are read by now.
    is_reading: Arc<AtomicBool>,
    /// Ends it, also before its turn.
    cancel: CancellationToken,
    /// Somebody wants its outcome, whatever endpoints need.
    is_asked_for: bool,
    /// Its place in the order.
    number: u64,
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
            lanes: Lanes::default(),
            n_begun: AtomicU64::new(0),
            tasks: TaskTracker::new(),
        }))
    }

    /// Begins a check of a model whose files, with these stamps, are not known to be right, and says how far it is while
    /// it lasts.
    pub(crate) async fn look(&self, model: &ModelName, stamps: &Stamps) -> Option<Fetch> {
        let known = self.0.jobs.lock().get(model).cloned();
        let now = self.0.clock.now();
        if !known.is_some_and(|it| it.answers(stamps, now)) {
            let job = self.begin(model, Scope::Changed, Some(stamps.clone()), false);
            let _ended = timeout(LOOK_WAIT, job.ended.cancelled()).await;
        }
        let jobs = self.0.jobs.lock();
        let job = jobs.get(model)?;
        match &job.check.ended {
            None => Some(queued(&jobs, job).unwrap_or_else(|| Fetch::Checking {
                bytes_done: job.progress.done.load(Ordering::Relaxed),
                bytes_total: job.n_bytes(),
                since: job.check.started_at,
            })),
            Some((_, Err(ModelError::Unreadable(what)))) => Some(Fetch::Unreadable { what: what.clone() }),
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
        let jobs = self.0.jobs.lock();
        let same = jobs.get(model).filter(|it| it.stamps.as_ref() == Some(&stamps));
        match same.and_then(|it| it.check.ended.as_ref()) {
            Some((_, Err(wrong))) => Err(wrong.clone()),
            Some((_, Ok(_))) | None => Ok(Verdict::Unknown),
        }
    }

    /// Begins a check that somebody asked for, of files with these stamps.
    pub(crate) fn start(&self, model: &ModelName, scope: Scope, stamps: Option<Stamps>) -> Check {
        self.begin(model, scope, stamps, true).seen()
    }

    /// Ends the checks that nobody asked for and no endpoint needs any more.
    pub(crate) fn keep(&self, needed: &BTreeSet<&ModelName>) {
        for (model, job) in self.0.jobs.lock().iter() {
            if job.check.ended.is_none() && !job.is_asked_for && !needed.contains(model) {
                job.call_off();
            }
        }
    }

    /// Ends the check of a model that is to go.
    pub(crate) fn call_off(&self, model: &ModelName) {
        if let Some(job) = self.0.jobs.lock().get(model) {
            job.call_off();
        }
    }

    /// The last check of a model.
    pub(crate) fn get(&self, model: &ModelName) -> Option<Check> {
        self.0.jobs.lock().get(model).map(Job::seen)
    }

    /// Ends every check.
    pub(crate) async fn close(&self) {
        for job in self.0.jobs.lock().values() {
            job.call_off();
        }
        self.0.tasks.close();
        if timeout(END_MAX, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("a check of a model's files did not end within {} s", END_MAX.as_secs());
        }
    }

    /// Takes up work again after [`Checks::close`]; what was ended begins anew when it is asked for.
    pub(crate) fn reopen(&self) {
        self.0.jobs.lock().clear();
        self.0.tasks.reopen();
    }

    fn begin(&self, model: &ModelName, scope: Scope, stamps: Option<Stamps>, is_asked_for: bool) -> Job {
        let check = Check {
            model: model.clone(),
            started_at: self.0.clock.now(),
            bytes_done: 0,
            bytes_total: 0,
            ended: None,
        };
        let mut jobs = self.0.jobs.lock();
        let n_unread = jobs.get(model).map_or(0, Job::n_unread);
        // The same files are not read twice at once: the last one says, after the one before has ended.
        let before = jobs.get(model).filter(|it| it.check.ended.is_none()).map(|it| {
            it.call_off();
            it.ended.clone()
        });
        let n_bytes = stamps.as_ref().map_or(u64::MAX, super::verify::n_bytes);
        let progress = Arc::new(Progress::default());
        progress.total.store(stamps.as_ref().map_or(0, super::verify::n_bytes), Ordering::Relaxed);
        let job = Job {
            stamps,
            progress,
            ended: CancellationToken::new(),
            is_reading: Arc::default(),
            cancel: CancellationToken::new(),
            is_asked_for,
            number: self.0.n_begun.fetch_add(1, Ordering::Relaxed),
            check,
            n_unread,
        };
        while jobs.len() >= REMEMBERED_MAX {
            let Some(over) = jobs.iter().find(|(_, it)| it.check.ended.is_some()) else { break };
            let over = over.0.clone();
            jobs.remove(&over);
        }
        jobs.insert(model.clone(), job.clone());
        let (inner, own) = (self.0.clone(), job.clone());
        self.0.tasks.spawn(async move {
            let turn = async {
                if let Some(before) = before {
                    before.cancelled().await;
                }
                inner.lanes.enter(n_bytes).await
            };
            let place = tokio::select! {
                biased;
                () = own.cancel.cancelled() => return inner.gone(&own),
                place = turn => place,
            };
            own.is_reading.store(true, Ordering::Relaxed);
            let (models, name, progress) =
                (inner.models.clone(), own.check.model.clone(), own.progress.clone());
            let read = tokio::task::spawn_blocking(move || {
                // One that hangs keeps its place, so that no other hangs beside it.
                let _place = place;
                models.verify(&name, scope, &progress)
            })
            .await;
            if own.cancel.is_cancelled() {
                return inner.gone(&own);
            }
            let verdict = read.unwrap_or_else(|err| {
                Err(ModelError::Unusable(format!("{}: its files could not be read ({err})", own.check.model)))
            });
            inner.ended(&own, verdict);
        });
        job
    }
}

impl Inner {
    /// It was called off, and nothing is known of the files.
    fn gone(&self, job: &Job) {
        tracing::debug!(model = %job.check.model, "a check of a model's files was called off");
        let mut jobs = self.jobs.lock();
        if jobs.get(&job.check.model).is_some_and(|it| it.number == job.number) {
            jobs.remove(&job.check.model);
        }
        drop(jobs);
        job.ended.cancel();
        self.changed.notify_one();
    }

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
        let mut jobs = self.jobs.lock();
        // Another one may have begun meanwhile.
        if let Some(shown) = jobs.get_mut(model).filter(|it| it.number == job.number) {
            shown.check.ended = Some((self.clock.now(), verdict));
        }
        drop(jobs);
        job.ended.cancel();
        self.changed.notify_one();
    }
}

/// What a check waits for that has not begun to read.
fn queued(jobs: &BTreeMap<ModelName, Job>, job: &Job) -> Option<Fetch> {
    if job.is_reading.load(Ordering::Relaxed) {
        return None;
    }
    let is_large = job.n_bytes() > SMALL_BYTES_MAX;
    let is_ahead = |it: &&Job| {
        it.number != job.number
            && it.check.ended.is_none()
            && (it.is_reading.load(Ordering::Relaxed)
                || (it.number < job.number && (is_large || it.n_bytes() <= SMALL_BYTES_MAX)))
    };
    let ahead: Vec<&Job> = jobs.values().filter(is_ahead).collect();
    let sum = |of: fn(&Job) -> u64| ahead.iter().map(|it| of(it)).fold(0, u64::saturating_add);
    (!ahead.is_empty()).then(|| Fetch::CheckQueued {
        n_ahead: ahead.len() as u64,
        bytes_done: sum(|it| it.progress.done.load(Ordering::Relaxed)),
        bytes_total: sum(Job::n_bytes),
    })
}

impl Job {
    fn call_off(&self) {
        self.progress.stop.store(true, Ordering::Relaxed);
        self.cancel.cancel();
    }

    /// Bytes of the files, as far as they were counted.
    fn n_bytes(&self) -> u64 {
        self.progress.total.load(Ordering::Relaxed)
    }

    /// Whether it says of files with these stamps what there is to say now.
    fn answers(&self, stamps: &Stamps, now: Timestamp) -> bool {
        // One that was called off ends without an answer.
        let Some((at, verdict)) = &self.check.ended else { return !self.cancel.is_cancelled() };
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
            let job = checks.0.jobs.lock().get(&model).cloned().unwrap();
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

//! The downloads of this server: one of each tenant at a time, each with an end. Those that somebody asked for run
//! until they are done or called off; those that endpoints wait for live as long as one waits, and are tried again.
//! Nothing of it has to survive a restart: what is on disk is gone on with, and who still waits asks again.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dedi_domain::{Fetch, ModelName, Owner, Timestamp, with_causes};
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::HubConfig;
use super::error::HubError;
use super::job::{Ask, Due, END_MAX, Job, Phase, Pull, forget_ended, n_on_their_way};
use super::manifest::Manifest;
use super::progress::Progress;
use super::pull::{Around, pull};
use super::slots::{DownloadSlot, DownloadSlots};
use super::source::Source;
use super::staging::{self, Staging};
use crate::clock::Clock;
use crate::models::{BlockingReader, READ_MAX};

/// Downloads that may wait for their turn.
const ON_THEIR_WAY_MAX: usize = 100;
/// Downloads of one tenant that may be among these, so that no tenant takes every place.
const OF_OWNER_MAX: usize = 20;
/// How long the beginning of a model is kept that nobody goes on with.
const STALE_AFTER: Duration = Duration::from_secs(7 * 86_400);

/// All downloads. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Pulls(Arc<Inner>);

struct Inner {
    config: HubConfig,
    store: PathBuf,
    clock: Clock,
    /// Notified when something an endpoint may wait for has changed.
    changed: Arc<Notify>,
    jobs: Mutex<BTreeMap<ModelName, Job>>,
    /// What is due for downloads that have come.
    dues: Mutex<Vec<(ModelName, Due)>>,
    slots: DownloadSlots,
    /// Where what came of downloads is removed.
    reader: BlockingReader,
    n_launched: AtomicU64,
    tasks: TaskTracker,
    /// Ends every download; another one after each [`Pulls::reopen`].
    end: Mutex<CancellationToken>,
}

/// Downloads before another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ahead {
    /// How many, the running one included.
    pub(crate) n: u64,
    /// Bytes of the running one that are here.
    pub(crate) bytes_done: u64,
    /// Bytes of that one in all; 0 until the hub has said.
    pub(crate) bytes_total: u64,
}

impl fmt::Debug for Pulls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulls").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Pulls {
    pub(crate) fn new(config: HubConfig, reader: BlockingReader, clock: Clock, changed: Arc<Notify>) -> Self {
        Self(Arc::new(Inner {
            slots: DownloadSlots::new(config.pulls_at_once),
            config,
            store: reader.folder().to_owned(),
            reader,
            clock,
            changed,
            jobs: Mutex::default(),
            dues: Mutex::default(),
            n_launched: AtomicU64::new(0),
            tasks: TaskTracker::new(),
            end: Mutex::default(),
        }))
    }

    /// Whether a create may name a model that is not here.
    pub(crate) fn fetches_on_create(&self) -> bool {
        self.0.config.fetch_on_create
    }

    /// Begins a download that somebody asked for, or joins the one that runs. Says why not if another revision or
    /// file of the model is on its way.
    pub(crate) fn start(&self, source: Source, ask: Ask) -> Result<Pull, String> {
        let mut jobs = self.0.jobs.lock();
        if let Some(job) = jobs.get_mut(&source.model)
            && job.pull.phase.is_on_its_way()
        {
            if job.pull.source != source {
                return Err(format!(
                    "{} is on its way; `dedi models rm {}` calls that off",
                    job.pull.source, source.model
                ));
            }
            job.pull.is_asked_for = true;
            job.pull.askers.extend(ask.of);
            job.dues.extend(ask.dues.into_iter().filter(|it| !job.dues.contains(it)).collect::<Vec<_>>());
            return Ok(job.seen());
        }
        if n_on_their_way(&jobs) >= ON_THEIR_WAY_MAX {
            return Err(format!("{ON_THEIR_WAY_MAX} downloads wait already; try again when some are done"));
        }
        if let Some(owner) = &ask.of
            && n_of(&jobs, |_, job| job.is_of(owner)) >= OF_OWNER_MAX
        {
            return Err(format!(
                "{OF_OWNER_MAX} downloads of this tenant wait already; try again when some are done"
            ));
        }
        Ok(self.launch(&mut jobs, source, ask, true, 0))
    }

    /// Whether a model came from the hub that is asked now.
    pub(crate) fn is_of_hub(&self, manifest: &Manifest) -> bool {
        manifest.hub == self.0.config.base_url.trim_end_matches('/')
    }

    /// Whether a download of the model that others began is of another source.
    pub(crate) fn is_other(&self, source: &Source) -> bool {
        let jobs = self.0.jobs.lock();
        jobs.get(&source.model).is_some_and(|it| it.pull.source != *source && it.pull.phase.is_on_its_way())
    }

    /// Whether the model's download has failed since then; `None` where none has been on its way since.
    pub(crate) fn has_failed(&self, model: &ModelName, since: Timestamp) -> Option<bool> {
        match &self.0.jobs.lock().get(model)?.pull.phase {
            Phase::Queued | Phase::Running | Phase::Done { .. } => Some(false),
            Phase::Failed { at, .. } => (*at >= since).then_some(true),
        }
    }

    /// What is due for the downloads that have come, each once.
    pub(crate) fn take_dues(&self) -> Vec<(ModelName, Due)> {
        std::mem::take(&mut *self.0.dues.lock())
    }

    /// The tenant asks for the model no more; a download goes on for others that do.
    pub(crate) fn leave(&self, model: &ModelName, tenant: &Owner) {
        if let Some(job) = self.0.jobs.lock().get_mut(model) {
            job.pull.askers.remove(tenant);
            job.dues.retain(|it| *it != Due::Hold(tenant.clone()));
        }
        self.0.dues.lock().retain(|(of, due)| of != model || *due != Due::Hold(tenant.clone()));
    }

    /// Makes the world so that exactly these models, which endpoints have waited for since then, are on their way,
    /// besides those that somebody asked for. Each is the named tenant's turn. May be repeated freely.
    pub(crate) fn want(&self, wanted: &BTreeMap<ModelName, (Timestamp, Owner)>) {
        let now = self.0.clock.now();
        let mut jobs = self.0.jobs.lock();
        jobs.retain(|model, job| {
            let is_kept = job.pull.is_asked_for || wanted.contains_key(model);
            if !is_kept {
                if job.pull.phase.is_on_its_way() {
                    tracing::info!(%model, "a download is called off: no endpoint waits for it any more");
                }
                job.cancel.cancel();
            }
            is_kept
        });
        for (model, (since, owner)) in wanted {
            let is_of_owner = |model: &ModelName, job: &Job| {
                job.is_of(owner) || wanted.get(model).is_some_and(|it| it.1 == *owner)
            };
            if n_on_their_way(&jobs) >= ON_THEIR_WAY_MAX || n_of(&jobs, is_of_owner) >= OF_OWNER_MAX {
                continue;
            }
            let n_failures = match jobs.get(model).map(|it| (&it.pull.phase, it.pull.n_failures)) {
                None => 0,
                Some((Phase::Queued | Phase::Running, _)) => continue,
                // Started again by its user, after somebody removed it.
                Some((Phase::Done { at, .. }, _)) if since > at => 0,
                // The look that missed it was a moment too early, or the disk that it is on is away.
                Some((Phase::Done { .. }, _)) => continue,
                // Started again by its user, who may have mended what was wrong.
                Some((Phase::Failed { at, .. }, _)) if since > at => 0,
                Some((Phase::Failed { retry_at, .. }, n_failures)) if now >= *retry_at => n_failures,
                Some((Phase::Failed { .. }, _)) => continue,
            };
            let source = match jobs.get(model) {
                Some(job) => job.pull.source.clone(),
                None => Source::of(model.clone()),
            };
            let ask = Ask { of: Some(owner.clone()), ..Ask::default() };
            self.launch(&mut jobs, source, ask, false, n_failures);
        }
    }

    /// How far a model is for the endpoints that wait for it.
    pub(crate) fn fetch(&self, model: &ModelName) -> Option<Fetch> {
        let pull = self.get(model)?;
        match pull.phase {
            Phase::Queued => {
                let ahead = self.ahead(&pull);
                Some(Fetch::Queued {
                    n_ahead: ahead.n,
                    bytes_done: ahead.bytes_done,
                    bytes_total: ahead.bytes_total,
                })
            }
            Phase::Running => Some(match pull.held_off {
                Some((what, wait)) => Fetch::HeldOff { what, until: self.0.clock.now().plus(wait) },
                None => Fetch::Running {
                    bytes_done: pull.bytes_done,
                    bytes_total: pull.bytes_total,
                    since: pull.started_at,
                },
            }),
            Phase::Done { .. } => None,
            // Otherwise nobody tries again, and the endpoint's own launch says what is missing.
            Phase::Failed { what, is_final, retry_at, .. } => self
                .fetches_on_create()
                .then_some(Fetch::Failed { what, n_failures: pull.n_failures, retry_at, is_final }),
        }
    }

    /// What is before a download that waits for its turn.
    pub(crate) fn ahead(&self, pull: &Pull) -> Ahead {
        let jobs = self.0.jobs.lock();
        let before = jobs.values().filter(|it| {
            it.pull.phase.is_on_its_way()
                && (matches!(it.pull.phase, Phase::Running) || it.pull.number < pull.number)
                && it.pull.number != pull.number
        });
        before.fold(Ahead::default(), |all, it| {
            let (bytes_done, bytes_total) = match it.pull.phase {
                Phase::Running => it.progress.read(),
                Phase::Queued | Phase::Done { .. } | Phase::Failed { .. } => (0, None),
            };
            Ahead {
                n: all.n + 1,
                bytes_done: all.bytes_done.saturating_add(bytes_done),
                bytes_total: all.bytes_total.saturating_add(bytes_total.unwrap_or(0)),
            }
        })
    }

    /// One download, the last of its model.
    pub(crate) fn get(&self, model: &ModelName) -> Option<Pull> {
        self.0.jobs.lock().get(model).map(Job::seen)
    }

    /// The last download of each model.
    pub(crate) fn all(&self) -> Vec<Pull> {
        self.0.jobs.lock().values().map(Job::seen).collect()
    }

    /// Ends a model's download and removes what came of it. Answers whether there was any.
    pub(crate) async fn call_off(&self, model: &ModelName) -> bool {
        let mut was_on_its_way = false;
        let mut task = None;
        if let Some(job) = self.0.jobs.lock().get_mut(model) {
            was_on_its_way = job.pull.phase.is_on_its_way();
            job.cancel.cancel();
            task = job.task.take();
        }
        if let Some(task) = task {
            // One that does not end in time writes into a folder that is gone.
            let _ = timeout(END_MAX, task).await;
        }
        let staging = Staging::new(&self.0.store, model);
        let had_files = self.0.reader.ask(END_MAX, move |_| staging.remove()).await.unwrap_or(false);
        was_on_its_way || had_files
    }

    /// Removes beginnings of models that nobody has gone on with for a week.
    pub(crate) async fn forget_stale(&self) {
        let busy: Vec<ModelName> = self.0.jobs.lock().keys().cloned().collect();
        let removed = self.0.reader.ask_now(READ_MAX, move |models| {
            for model in staging::remove_stale(models.folder(), STALE_AFTER, &busy) {
                tracing::info!(%model, "removed the beginning of a model that nobody has gone on with for a week");
            }
        });
        // What takes longer goes on by itself.
        let _late = removed.await;
    }

    /// Ends every download. What came is gone on with after the next start.
    pub(crate) async fn close(&self) {
        self.end().cancel();
        self.0.tasks.close();
        if timeout(END_MAX, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("a download did not end within {} s", END_MAX.as_secs());
        }
    }

    /// Takes up work again after [`Pulls::close`]. Who still waits asks anew.
    pub(crate) fn reopen(&self) {
        self.0.jobs.lock().clear();
        *self.0.end.lock() = CancellationToken::new();
        self.0.tasks.reopen();
    }

    fn end(&self) -> CancellationToken {
        self.0.end.lock().clone()
    }

    fn launch(
        &self,
        jobs: &mut BTreeMap<ModelName, Job>,
        source: Source,
        ask: Ask,
        is_asked_for: bool,
        n_failures: u32,
    ) -> Pull {
        let model = source.model.clone();
        let number = self.0.n_launched.fetch_add(1, Ordering::Relaxed);
        let end = self.end();
        let cancel = end.child_token();
        let progress = Arc::new(Progress::default());
        let Ask { of, keeps, dues } = ask;
        let slot = self.0.slots.try_take(&of);
        let pull = Pull {
            source: source.clone(),
            is_asked_for,
            askers: of.iter().filter(|_| is_asked_for).cloned().collect(),
            phase: if slot.is_some() { Phase::Running } else { Phase::Queued },
            started_at: self.0.clock.now(),
            bytes_done: 0,
            bytes_total: None,
            bytes_kept: 0,
            held_off: None,
            n_failures,
            number,
        };
        let (inner, cancelled, shown, whose) = (self.0.clone(), cancel.clone(), progress.clone(), of.clone());
        let task = self.0.tasks.spawn(async move {
            let work = AssertUnwindSafe(inner.work(&source, &shown, number, (whose, slot), keeps.as_deref()))
                .catch_unwind();
            let ended = tokio::select! {
                biased;
                () = cancelled.cancelled() => Err(HubError::CalledOff),
                ended = work => ended.unwrap_or_else(|_panic| {
                    Err(HubError::Foreign("the download panicked; the server's log has more".to_owned()))
                }),
            };
            // A server that ends has not called it off: whoever waits asks the next one.
            if !end.is_cancelled() {
                inner.ended(&source, number, ended);
            }
        });
        let job = Job { pull, of, progress, cancel, dues, task: Some(task) };
        let seen = job.seen();
        forget_ended(jobs);
        jobs.insert(model, job);
        seen
    }
}

/// How many of these have not ended.
fn n_of(jobs: &BTreeMap<ModelName, Job>, is_meant: impl Fn(&ModelName, &Job) -> bool) -> usize {
    jobs.iter().filter(|(model, it)| it.pull.phase.is_on_its_way() && is_meant(model, it)).count()
}

impl Inner {
    async fn work(
        &self,
        source: &Source,
        progress: &Progress,
        number: u64,
        (of, mut slot): (Option<Owner>, Option<DownloadSlot>),
        keeps: Option<&str>,
    ) -> Result<String, HubError> {
        let others_need = || self.others_need(number);
        let around = Around { keeps, others_need: &others_need };
        loop {
            let held = match slot.take() {
                Some(held) => held,
                None => self.slots.take(&of).await.ok_or(HubError::CalledOff)?,
            };
            self.set(source, number, |job| job.pull.phase = Phase::Running);
            tracing::info!(model = %source.model, "fetching {source} from {}", self.config.base_url);
            let now = self.clock.show(self.clock.now());
            tokio::select! {
                biased;
                done = pull(&self.config, &self.store, source, progress, now, around) => return done,
                () = self.slots.must_yield(progress) => {
                    tracing::info!(model = %source.model, "{source} comes slowly and lets others go first; what came is kept");
                    self.set(source, number, |job| job.pull.phase = Phase::Queued);
                    drop(held);
                }
            }
        }
    }

    /// Bytes that downloads beside this one will still take.
    fn others_need(&self, number: u64) -> u64 {
        let jobs = self.jobs.lock();
        let others = jobs.values().filter(|it| it.pull.number != number && it.pull.phase == Phase::Running);
        others
            .map(|it| {
                let (done, total) = it.progress.read();
                total.unwrap_or(0).saturating_sub(done)
            })
            .fold(0, u64::saturating_add)
    }

    fn ended(&self, source: &Source, number: u64, ended: Result<String, HubError>) {
        let at = self.clock.now();
        match ended {
            Ok(commit) => {
                tracing::info!(model = %source.model, commit, "fetched {source}");
                self.set(source, number, |job| {
                    job.pull.phase = Phase::Done { commit, at };
                    let dues = std::mem::take(&mut job.dues);
                    self.dues.lock().extend(dues.into_iter().map(|it| (source.model.clone(), it)));
                });
            }
            Err(HubError::CalledOff) => {
                self.set(source, number, |job| {
                    let what = HubError::CalledOff.to_string();
                    job.pull.phase = Phase::Failed {
                        what,
                        code: HubError::CalledOff.code(),
                        is_final: true,
                        at,
                        retry_at: at,
                    };
                });
            }
            Err(err) => {
                let is_final = !err.may_pass();
                let what = with_causes(&err);
                tracing::warn!(model = %source.model, "{source} could not be fetched: {what}");
                self.set(source, number, |Job { pull, .. }| {
                    pull.n_failures = pull.n_failures.saturating_add(1);
                    // What trying again does not mend is tried at the longest wait: somebody may mend it outside.
                    let longest = self.config.backoff(u32::MAX);
                    let wait = if err.is_wrong_content() {
                        // Costs the whole model each time.
                        longest * 12
                    } else if is_final {
                        longest
                    } else {
                        self.config.backoff(pull.n_failures)
                    };
                    // The hub knows when it answers again.
                    let wait = wait.max(err.retry_after().unwrap_or_default());
                    pull.phase =
                        Phase::Failed { what, code: err.code(), is_final, at, retry_at: at.plus(wait) };
                });
            }
        }
        self.changed.notify_one();
    }

    /// Changes the download, unless it is another one by now.
    fn set(&self, source: &Source, number: u64, change: impl FnOnce(&mut Job)) {
        let mut jobs = self.jobs.lock();
        if let Some(job) = jobs.get_mut(&source.model).filter(|it| it.pull.number == number) {
            change(job);
        }
    }
}

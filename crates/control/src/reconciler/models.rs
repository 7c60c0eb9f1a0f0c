//! What the model store shows a pass: one scan at a time, on the blocking threads. A pass waits for it a while and then
//! goes on with what the last one showed; a disk that hangs holds up what needs models and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use dedi_domain::fit::ModelFacts;
use dedi_domain::{EndpointId, ModelName};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::models::{BlockingReader, ModelError, ModelStore, NoAnswer, READ_MAX, Stamps};
use crate::store::EndpointRows;

/// Longest wait of a pass for a scan.
const LOOK_WAIT: Duration = Duration::from_secs(2);
/// The same after one that came late: a slow disk may delay each pass only so long.
const LATE_WAIT: Duration = Duration::from_millis(200);

/// Scans the model store, and keeps what the last scan showed.
#[derive(Debug)]
pub(super) struct ModelObserver {
    reader: BlockingReader,
    running: Option<Scan>,
    was_late: bool,
    last: ModelSnapshot,
    /// Endpoints whose model is known to have been here once.
    pub(super) launched: BTreeSet<EndpointId>,
}

/// A scan that is under way.
#[derive(Debug)]
struct Scan {
    since: Instant,
    task: JoinHandle<ModelSnapshot>,
}

/// What a scan showed.
#[derive(Clone, Debug, Default)]
pub(super) struct ModelSnapshot {
    /// All models of the store.
    pub(super) listed: BTreeSet<ModelName>,
    /// Those that endpoints use.
    used: BTreeMap<ModelName, Used>,
}

/// A model that endpoints use.
#[derive(Clone, Debug)]
struct Used {
    facts: Result<ModelFacts, ModelError>,
    /// Of its files, and whether they were right under them; only where something is to load it.
    stamps: Option<Result<(Stamps, bool), ModelError>>,
    /// Which revision is here.
    pin: Result<Option<String>, ModelError>,
}

/// What came of the scan in a pass.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Whether a scan has ended.
    pub(super) is_new: bool,
    /// Why the last scan's result is not to be relied on.
    pub(super) trouble: Option<NoAnswer>,
}

impl ModelObserver {
    pub(super) fn new(reader: BlockingReader) -> Self {
        Self {
            reader,
            running: None,
            was_late: false,
            last: ModelSnapshot::default(),
            launched: BTreeSet::new(),
        }
    }

    /// Starts a scan, or goes on waiting for the one under way.
    pub(super) async fn observe(&mut self, rows: &[EndpointRows]) -> Outcome {
        let wait = if self.was_late { LATE_WAIT } else { LOOK_WAIT };
        let running = self.running.take().or_else(|| self.begin(rows));
        let Some(mut look) = running else { return Outcome::failed(NoAnswer::Late(READ_MAX)) };
        match timeout_at(look.since + wait, &mut look.task).await {
            Ok(Ok(shown)) => {
                self.was_late = look.since.elapsed() > LOOK_WAIT;
                self.last = shown;
                Outcome { is_new: true, trouble: None }
            }
            Ok(Err(_panicked)) => Outcome::failed(NoAnswer::Panicked),
            Err(_elapsed) => {
                let hangs = look.since.elapsed() >= READ_MAX;
                self.was_late = true;
                self.running = Some(look);
                Outcome { is_new: false, trouble: hangs.then_some(NoAnswer::Late(READ_MAX)) }
            }
        }
    }

    /// What the last scan showed.
    pub(super) fn last(&self) -> &ModelSnapshot {
        &self.last
    }

    fn begin(&self, rows: &[EndpointRows]) -> Option<Scan> {
        let mut used: BTreeMap<ModelName, bool> = BTreeMap::new();
        for desired in rows.iter().map(|it| &it.desired) {
            *used.entry(desired.model.clone()).or_default() |= desired.wants_replicas();
        }
        let task = self.reader.begin(move |models| ModelSnapshot {
            used: used.into_iter().map(|(model, is_wanted)| read(models, model, is_wanted)).collect(),
            listed: models.list().into_iter().collect(),
        })?;
        Some(Scan { since: Instant::now(), task })
    }
}

impl Outcome {
    fn failed(why: NoAnswer) -> Self {
        Self { is_new: false, trouble: Some(why) }
    }
}

fn read(models: &ModelStore, model: ModelName, is_wanted: bool) -> (ModelName, Used) {
    // A file that makes its reader panic is that model's trouble.
    let facts = catch_unwind(AssertUnwindSafe(|| models.facts(&model)));
    let facts = facts.unwrap_or_else(|_panic| Err(NoAnswer::Panicked.into()));
    let stamps = is_wanted.then(|| models.stamps(&model));
    let pin = models.pin(&model);
    (model, Used { facts, stamps, pin })
}

impl ModelSnapshot {
    /// What the files of a model that is used say, where they could be read.
    pub(super) fn facts(&self) -> impl Iterator<Item = (&ModelName, &ModelFacts)> {
        self.used.iter().filter_map(|(model, it)| Some((model, it.facts.as_ref().ok()?)))
    }

    /// The revisions of the models that are here and can be read.
    pub(super) fn pins(&self) -> BTreeMap<ModelName, Option<String>> {
        let read = |(model, it): (&ModelName, &Used)| Some((model.clone(), it.pin.clone().ok()?));
        self.used.iter().filter_map(read).collect()
    }

    /// The models that something is to load and whose files are not known to be right, with the files' stamps.
    pub(super) fn changed(&self) -> impl Iterator<Item = (&ModelName, &Stamps)> {
        self.used.iter().filter_map(|(model, it)| match &it.stamps {
            Some(Ok((stamps, false))) => Some((model, stamps)),
            Some(Ok((_, true)) | Err(_)) | None => None,
        })
    }

    /// Whether a model that is used is there, as far as was seen.
    pub(super) fn presence(&self, model: &ModelName) -> Presence {
        let Some(used) = self.used.get(model) else {
            return Presence::Unreadable("nobody has looked at its files yet".to_owned());
        };
        let errors = [used.facts.as_ref().err(), used.stamps.as_ref().and_then(|it| it.as_ref().err())];
        let passing = errors.into_iter().flatten().find_map(|it| match it {
            ModelError::Absent(_) => Some(Presence::Absent),
            ModelError::Unreadable(what) => Some(Presence::Unreadable(what.clone())),
            // A launch says what is wrong.
            ModelError::Unusable(_) => None,
        });
        passing.unwrap_or(Presence::Here)
    }
}

/// Whether a model is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Here,
    Absent,
    /// Why its files can't be read, as a sentence.
    Unreadable(String),
}

//! Where forms are compiled: a bounded number of jobs for each weight, so that heavy ones wait for each other and never in
//! front of the others.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llguidance::{Matcher, ParserFactory};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::form::{Form, FormError, Part, STACK_BYTES, first_line, limits};
use super::grammar::Grammar;
use super::{plain, trial};

/// Forms compiled at a time that are cheap: plain ones, and ones that passed a trial within [`QUICK`].
const QUICK_JOBS: usize = 2;
/// Others with up to [`SMALL_BYTES`]. Each is a process at a time, of which a replica may have few.
const SMALL_JOBS: usize = 2;
/// Larger ones.
const LARGE_JOBS: usize = 1;
const SMALL_BYTES: usize = 16 << 10;
/// A trial that takes no longer shows a form to be cheap.
const QUICK: Duration = Duration::from_millis(100);
/// Forms of one weight that may wait; more are refused as busy.
const WAITING_MAX: usize = 32;
/// Longest wait for a permit.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest search for the part that is to blame for a refusal.
const BLAME_MAX: Duration = Duration::from_secs(5);
/// Forms remembered for having passed a trial, by their hash: clients send the same one again and again.
const REMEMBERED_MAX: usize = 1_024;

/// Makes grammars. The first one reads the whole vocabulary, the others share what it read.
pub struct Compiler {
    model: Arc<LlamaModel>,
    /// This program, which tries forms.
    program: PathBuf,
    factory: Arc<OnceLock<Result<ParserFactory, String>>>,
    quick: Lane,
    small: Lane,
    large: Lane,
    passed: Mutex<Passed>,
    /// A form that collides with one that passed can't be constructed.
    keys: RandomState,
}

struct Lane {
    free: Arc<Semaphore>,
    waiting: Semaphore,
}

/// What passed a trial, and how long that took; the oldest is forgotten first.
#[derive(Default)]
struct Passed {
    took: HashMap<u64, Duration>,
    order: VecDeque<u64>,
}

impl Compiler {
    /// One for a model's replies.
    #[must_use]
    pub fn new(model: Arc<LlamaModel>) -> Self {
        Self {
            model,
            program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe")),
            factory: Arc::default(),
            quick: Lane::new(QUICK_JOBS),
            small: Lane::new(SMALL_JOBS),
            large: Lane::new(LARGE_JOBS),
            passed: Mutex::default(),
            keys: RandomState::new(),
        }
    }

    /// Follows replies in this form. Whoever drops the future ends what is done for it, but for the compiling of what
    /// is known to end soon.
    ///
    /// # Errors
    /// When the form cannot be followed within the bounds, or too many others are before it.
    pub async fn grammar(&self, form: Form) -> Result<Grammar, FormError> {
        let bytes = serde_json::to_vec(&form).map_err(|it| FormError::Internal(it.to_string()))?;
        let (hash, n_bytes) = (self.keys.hash_one(&bytes), bytes.len());
        let known = if plain::is_plain(&form) {
            Some(Duration::ZERO)
        } else {
            self.passed.lock().took.get(&hash).copied()
        };
        let lane = if known.is_some_and(|it| it <= QUICK) {
            &self.quick
        } else if n_bytes <= SMALL_BYTES {
            &self.small
        } else {
            &self.large
        };
        let permit = lane.take().await?;
        if known.is_none() {
            let took = trial::passes(&self.program, bytes).await?;
            self.passed.lock().remember(hash, took);
        }
        self.compile(form, permit).await
    }

    /// Which part of a form that cannot be followed is to blame: the first that cannot be followed by itself, or the only one.
    pub async fn blame<'a>(&self, parts: &'a [Part]) -> Option<&'a str> {
        if let [only] = parts {
            return Some(&only.param);
        }
        let search = async {
            let _place = self.small.take().await.ok()?;
            for part in parts {
                let form = serde_json::to_vec(&part.form).ok()?;
                if let Err(FormError::Unfit(_)) = trial::passes(&self.program, form).await {
                    return Some(&part.param[..]);
                }
            }
            None
        };
        tokio::time::timeout(BLAME_MAX, search).await.ok().flatten()
    }

    async fn compile(&self, form: Form, permit: OwnedSemaphorePermit) -> Result<Grammar, FormError> {
        let (sender, receiver) = oneshot::channel();
        let (model, factory) = (Arc::clone(&self.model), Arc::clone(&self.factory));
        let work = move || {
            let made = factory.get_or_init(|| read_vocabulary(&model));
            let done = match made {
                Ok(factory) => compile(factory, form),
                Err(why) => Err(FormError::Internal(why.clone())),
            };
            let _client_may_be_gone = sender.send(done);
            // The permit is released when the work is done, even if nobody waits for the result any more.
            drop(permit);
        };
        let thread = std::thread::Builder::new().name("form".to_owned()).stack_size(STACK_BYTES).spawn(work);
        thread.map_err(|it| FormError::Internal(format!("no thread to compile on: {it}")))?;
        receiver.await.unwrap_or_else(|_panicked| Err(FormError::Internal("compiling failed".to_owned())))
    }
}

impl Lane {
    fn new(n: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(n)), waiting: Semaphore::new(n + WAITING_MAX) }
    }

    async fn take(&self) -> Result<OwnedSemaphorePermit, FormError> {
        let Ok(_waiting) = self.waiting.try_acquire() else { return Err(FormError::Busy) };
        match tokio::time::timeout(WAIT_MAX, Arc::clone(&self.free).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(FormError::Busy),
        }
    }
}

impl Passed {
    fn remember(&mut self, hash: u64, took: Duration) {
        if self.took.insert(hash, took).is_none() {
            self.order.push_back(hash);
        }
        while self.order.len() > REMEMBERED_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.took.remove(&oldest);
            }
        }
    }
}

fn read_vocabulary(model: &LlamaModel) -> Result<ParserFactory, String> {
    let mut factory =
        ParserFactory::new_simple(&LlamaSampler::llguidance_tok_env(model)).map_err(|it| it.to_string())?;
    factory.quiet();
    *factory.limits_mut() = limits();
    Ok(factory)
}

/// Compiles a form, without any bound on time.
pub(super) fn compile(factory: &ParserFactory, form: Form) -> Result<Grammar, FormError> {
    let matcher = Matcher::new(factory.create_parser(form.grammar()));
    match matcher.get_error() {
        Some(error) => Err(FormError::Unfit(first_line(&error))),
        None => Ok(Grammar(matcher)),
    }
}

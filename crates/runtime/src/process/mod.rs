//! Replicas as processes of this host: a shim for each, which keeps an engine. The server may come and go.
//!
//! What is true is in each replica's folder and in `/proc`; memory holds only what probes said last. Every
//! look reads both anew, and picks up whatever an earlier run of the server left half done.

mod config;
mod confinement;
mod doctor;
mod end;
mod engines;
mod installation;
mod log_read;
mod logs;
mod monitor;
mod observe;
mod probe;
mod remove;
mod survey;
mod unrecorded;
mod watched;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use dedi_domain::{Inventory, Launch, Nonce, ReplicaId, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::config::{IsolationSetting, ProcessConfig};
pub use self::doctor::{Isolation, isolation_level};
pub use self::log_read::{LogChunk, LogCursor, NoCursor};
pub use self::logs::{AttemptLog, ReplicaLogs};
pub use self::survey::Survey;
pub use crate::hardware::HardwareSettings;

pub(crate) use self::config::given;
pub(crate) use dedi_shim::identity::pids;

use self::engines::Engine;
use self::monitor::Tracked;
use self::unrecorded::Known;
use crate::failpoint;
use crate::hardware::Hardware;
use crate::{Listing, Runtime, RuntimeError};
use dedi_shim::identity::Life;
use dedi_shim::mark::SHIM_VARIABLE;
use dedi_shim::records::{LaunchRecord, ReplicaDir, SOCKET, SOCKET_PATH_BYTES_MAX};

/// Starts and ends replicas as processes. Dropping it, or the end of the server, leaves them running.
#[derive(Debug)]
pub struct ProcessRuntime {
    inner: Arc<Inner>,
}

/// What every task of the runtime shares.
#[derive(Debug)]
pub(crate) struct Inner {
    config: ProcessConfig,
    run: PathBuf,
    logs: ReplicaLogs,
    installation: String,
    /// Among which processes its own are.
    life: Life,
    shim: PathBuf,
    engine: Engine,
    hardware: Hardware,
    /// Replicas whose shim is being watched, by mark.
    tracked: Mutex<HashMap<Nonce, Arc<Tracked>>>,
    /// Folders whose replica a task is ending.
    ending: Mutex<HashMap<PathBuf, Nonce>>,
    /// What is known of replicas' processes, apart from their folders.
    known: Mutex<HashMap<Nonce, Known>>,
    /// When it began to look: nobody watched before.
    opened_at: Timestamp,
    /// One launch at a time: two for one replica at once would be decided on the same sight.
    launching: tokio::sync::Mutex<()>,
    changed: Notify,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl ProcessRuntime {
    /// Opens the run folder, makes it if it is absent, and finds the replicas that an earlier server left.
    /// `shim` is the program that runs [`dedi_shim::main`] on `shim <folder>`; `engine` is the engine program.
    pub async fn open(
        config: ProcessConfig,
        run: PathBuf,
        logs: PathBuf,
        shim: PathBuf,
        engine: PathBuf,
    ) -> io::Result<Self> {
        let absolute = |path: PathBuf| std::path::absolute(path);
        let (run, logs, shim, engine) = (absolute(run)?, absolute(logs)?, absolute(shim)?, absolute(engine)?);
        check_length(&run)?;
        let life = Life::now()?;
        let installation = {
            let (run, logs, life) = (run.clone(), logs.clone(), life.clone());
            blocking(move || {
                logs::create_root(&run)?;
                logs::create_root(&logs)?;
                dedi_shim::records::sweep_drafts(&run)?;
                installation::of(&run, &life)
            })
            .await?
        };
        let inner = Inner::new(config, run, logs, installation, life, shim, engine);
        let runtime = Self { inner: Arc::new(inner) };
        let inner = runtime.inner.clone();
        if let Err(err) = blocking(move || inner.find_unrecorded()).await {
            // Most have a folder; a server that does not start helps none.
            tracing::warn!("replicas whose folder is gone could not be looked for: {err}");
        }
        Inner::look(&runtime.inner).await?;
        Ok(runtime)
    }

    /// The replicas' logs.
    pub fn logs(&self) -> ReplicaLogs {
        self.inner.logs.clone()
    }

    /// How many folders in the run folder are records of another installation's replicas, as in a copy of its data
    /// folder. They are neither listed nor ended here.
    ///
    /// # Errors
    ///
    /// If the run folder can't be read.
    pub async fn n_foreign(&self) -> io::Result<u64> {
        let inner = self.inner.clone();
        blocking(move || {
            let is_foreign = |dir: &ReplicaDir| {
                dir.launch().ok().flatten().is_some_and(|it| it.installation != inner.installation)
            };
            Ok(ReplicaDir::all(&inner.run)?.iter().filter(|it| is_foreign(it)).count() as u64)
        })
        .await
    }

    /// Begins to end a replica's processes and keeps its record: nobody starts that launch again, and the next
    /// look shows it as stopped. Ended when it is listed as exited; what is there to be ended of it is listed as
    /// stopping until then.
    ///
    /// # Errors
    ///
    /// If its folder can't be read or marked; nothing was signalled then.
    pub async fn end(&self, replica: ReplicaId, nonce: Nonce) -> io::Result<()> {
        Inner::begin_end(&self.inner, replica, nonce).await
    }

    /// Ends the runtime's own tasks. Replicas go on; a removal under way is taken up by the next `open`.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

impl Drop for ProcessRuntime {
    fn drop(&mut self) {
        self.inner.stop.cancel();
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    async fn ensure(&self, launch: &Launch) -> Result<(), RuntimeError> {
        Inner::ensure(&self.inner, launch)
            .await
            .map_err(|err| RuntimeError::Launch { replica: launch.replica, reason: err.to_string() })
    }

    async fn remove(&self, replica: ReplicaId, nonce: Nonce) -> Result<(), RuntimeError> {
        Inner::begin_removal(&self.inner, replica, nonce).await.map_err(|source| RuntimeError::Unavailable {
            what: format!("{replica} could not be removed"),
            source,
        })
    }

    async fn list(&self) -> Result<Listing, RuntimeError> {
        Inner::look(&self.inner).await.map_err(|source| RuntimeError::Unavailable {
            what: format!("the replicas in {} could not be looked at", self.inner.run.display()),
            source,
        })
    }

    async fn inventory(&self) -> Result<Inventory, RuntimeError> {
        let inner = self.inner.clone();
        blocking(move || {
            let ours = inner.engines()?;
            inner.hardware.inventory(&ours)
        })
        .await
        .map_err(|source| RuntimeError::Unavailable {
            what: "the host's devices could not be looked at".to_owned(),
            source,
        })
    }

    async fn changed(&self) {
        self.inner.changed.notified().await;
    }
}

impl Inner {
    fn new(
        config: ProcessConfig,
        run: PathBuf,
        logs: PathBuf,
        installation: String,
        life: Life,
        shim: PathBuf,
        engine: PathBuf,
    ) -> Self {
        Self {
            hardware: Hardware::new(
                config.hardware.clone(),
                engine.clone(),
                engines::passed(&config.env_pass, |name| std::env::var(name).ok()),
            ),
            config,
            run,
            logs: ReplicaLogs::new(logs),
            installation,
            life,
            shim,
            engine: Engine::dedi(engine),
            tracked: Mutex::default(),
            ending: Mutex::default(),
            known: Mutex::default(),
            opened_at: crate::clock::now(),
            launching: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    async fn ensure(self: &Arc<Self>, launch: &Launch) -> io::Result<()> {
        let _one_at_a_time = self.launching.lock().await;
        let (inner, launch) = (self.clone(), launch.clone());
        let started = blocking(move || inner.start_shim(&launch)).await?;
        if let Some((dir, record, child)) = started {
            self.watch(dir, &record, Some(child));
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Writes the launch down and starts a shim, unless this launch has been used already.
    fn start_shim(
        &self,
        launch: &Launch,
    ) -> io::Result<Option<(ReplicaDir, LaunchRecord, std::process::Child)>> {
        let dir = ReplicaDir::of(&self.run, launch.replica);
        let record = self.record(launch, &dir)?;
        failpoint::hit("launch.before", "record");
        if !dir.create(&self.run, &record)? {
            let known = dir.launch()?;
            let is_same = known.as_ref().is_some_and(|it| {
                it.launch.nonce == launch.nonce
                    && it.launch.replica == launch.replica
                    && it.installation == self.installation
            });
            if !is_same {
                return Err(io::Error::other(format!("{} holds another replica", dir.path().display())));
            }
            // A record of an earlier life is listed as ended, started or not.
            let is_used = known.is_some_and(|it| !it.life.is(&self.life))
                || dir.has_exit()?
                || dir.has_shim()?
                || dir.is_asked_to_stop()?
                || dir.is_to_be_removed()?
                || dir.is_locked()?
                || self.is_tracked(launch.nonce);
            if is_used {
                return Ok(None);
            }
        }
        failpoint::hit("launch.before", "shim");
        // Reaped through its pidfd by whoever watches the replica.
        let child = Command::new(&self.shim)
            .arg("shim")
            .arg(dir.path())
            .env_clear()
            .env(SHIM_VARIABLE, engines::mark_of(launch, &self.installation).to_string())
            .envs(failpoint::environment())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|err| io::Error::new(err.kind(), format!("{}: {err}", self.shim.display())))?;
        failpoint::hit("launch.after", "shim");
        tracing::info!(replica = %launch.replica, attempt = launch.attempt, "launching {}", launch.endpoint);
        Ok(Some((dir, record, child)))
    }

    fn record(&self, launch: &Launch, dir: &ReplicaDir) -> io::Result<LaunchRecord> {
        let n_cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut launch = launch.clone();
        launch.model_path = std::path::absolute(launch.model_path)?;
        let own = dir.own();
        let env = engines::environment(&launch, &own, &self.installation, &self.config.env_pass, |name| {
            std::env::var(name).ok()
        });
        let confinement = confinement::of(&self.config, &launch, self.engine.program(), &own, &env);
        Ok(LaunchRecord {
            installation: self.installation.clone(),
            life: self.life.clone(),
            at: crate::clock::now(),
            program: self.engine.program().to_owned(),
            args: self.engine.args(&launch, SOCKET, n_cores),
            env,
            log: self.logs.path(launch.endpoint, launch.attempt),
            log_bytes_max: self.config.log_bytes_max,
            log_files: self.config.log_files,
            stop_grace_secs: self.config.stop_grace_secs,
            pids_max: self.config.pids_max,
            disk_bytes_max: Some(self.config.engine_disk_mib << 20),
            confinement,
            launch,
        })
    }

    fn is_tracked(&self, nonce: Nonce) -> bool {
        locked(&self.tracked).contains_key(&nonce)
    }
}

/// The socket below the folder must have a path that the kernel takes.
fn check_length(run: &Path) -> io::Result<()> {
    let n_bytes = run.as_os_str().len();
    let n_max = SOCKET_PATH_BYTES_MAX - ReplicaDir::socket_suffix_bytes();
    if n_bytes <= n_max {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "the run folder {} has a path of {n_bytes} bytes; at most {n_max} work, because unix sockets lie below it",
            run.display()
        ),
    ))
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// A panic elsewhere does not make the value wrong: each holder leaves it whole.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

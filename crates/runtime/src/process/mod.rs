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
mod launch;
mod log_progress;
mod logs;
mod monitor;
mod observe;
mod port;
mod probe;
mod remove;
mod setup;
mod survey;
mod unrecorded;
mod watched;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use dedi_domain::{Capabilities, EngineKind, EngineSpec, Inventory, Nonce, ReplicaId, Timestamp};
use dedi_replica_logs::ReplicaLogs;
use dedi_runtime_api::{BoxError, Launch, Listing, ModelResolver, Runtime, RuntimeError};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::config::{IsolationSetting, ProcessConfig};
pub use self::doctor::{Isolation, isolation_level};
pub use self::setup::ProcessSetup;
pub use crate::hardware::HardwareSettings;

pub(crate) use self::config::given;
pub(crate) use dedi_shim::identity::pids;

use self::monitor::Tracked;
use self::unrecorded::Known;
use crate::hardware::Hardware;
use dedi_shim::identity::Life;
use dedi_shim::records::{ReplicaDir, SOCKET_PATH_BYTES_MAX};

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
    engines: Vec<EngineSpec>,
    models: Arc<dyn ModelResolver>,
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
    ///
    /// # Errors
    ///
    /// If the folder can't be used, or its path is too long for sockets below it.
    pub async fn open(setup: ProcessSetup) -> io::Result<Self> {
        let absolute = |path: &Path| std::path::absolute(path);
        let setup = ProcessSetup {
            run: absolute(&setup.run)?,
            logs: absolute(&setup.logs)?,
            shim: absolute(&setup.shim)?,
            engines: setup.engines.into_iter().map(checked).collect::<io::Result<_>>()?,
            ..setup
        };
        check_length(&setup.run)?;
        let life = Life::now()?;
        let installation = {
            let (run, logs, life) = (setup.run.clone(), setup.logs.clone(), life.clone());
            blocking(move || {
                create_private(&run)?;
                create_private(&logs)?;
                dedi_shim::records::sweep_drafts(&run)?;
                installation::of(&run, &life)
            })
            .await?
        };
        let inner = Inner::new(setup, installation, life);
        let runtime = Self { inner: Arc::new(inner) };
        let inner = runtime.inner.clone();
        if let Err(err) = blocking(move || inner.find_unrecorded()).await {
            // Most have a folder; a server that does not start helps none.
            tracing::warn!("replicas whose folder is gone could not be looked for: {err}");
        }
        Inner::observe(&runtime.inner).await?;
        Ok(runtime)
    }

    /// The replicas' logs.
    pub fn logs(&self) -> ReplicaLogs {
        self.inner.logs.clone()
    }
}

impl Drop for ProcessRuntime {
    fn drop(&mut self) {
        self.inner.stop.cancel();
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn ensure(&self, launch: &Launch) -> Result<(), RuntimeError> {
        Inner::launch(&self.inner, launch).await
    }

    async fn remove(&self, replica: ReplicaId, nonce: Nonce) -> Result<(), RuntimeError> {
        let begun = Inner::begin_removal(&self.inner, replica, nonce).await;
        begun.map_err(|err| unavailable(format!("{replica} could not be removed"), err))
    }

    async fn end(&self, replica: ReplicaId, nonce: Nonce) -> Result<(), RuntimeError> {
        let begun = Inner::begin_end(&self.inner, replica, nonce).await;
        begun.map_err(|err| unavailable(err.to_string(), err))
    }

    async fn list(&self) -> Result<Listing, RuntimeError> {
        let run = self.inner.run.display();
        let listed = Inner::observe(&self.inner).await;
        listed.map_err(|err| unavailable(format!("the replicas in {run} could not be looked at"), err))
    }

    async fn inventory(&self) -> Result<Inventory, RuntimeError> {
        let inner = self.inner.clone();
        let measured = blocking(move || {
            let ours = inner.engines()?;
            inner.hardware.inventory(&ours)
        });
        let measured = measured.await;
        measured.map_err(|err| unavailable("the host's devices could not be looked at".to_owned(), err))
    }

    async fn changed(&self) {
        self.inner.changed.notified().await;
    }

    async fn shutdown(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

impl Inner {
    fn new(setup: ProcessSetup, installation: String, life: Life) -> Self {
        let ProcessSetup { config, run, logs, shim, engines, models } = setup;
        let asked = engines.first().map(|it| it.program.clone()).unwrap_or_default();
        Self {
            hardware: Hardware::new(
                config.hardware.clone(),
                asked,
                engines::passed(&config.env_pass, |name| std::env::var(name).ok()),
            ),
            config,
            run,
            logs: ReplicaLogs::new(logs),
            installation,
            life,
            shim,
            engines,
            models,
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

    fn engine(&self, kind: &EngineKind) -> Option<&EngineSpec> {
        self.engines.iter().find(|it| it.kind == *kind)
    }

    fn is_tracked(&self, nonce: Nonce) -> bool {
        self.tracked.lock().contains_key(&nonce)
    }
}

/// An engine that can be run from anywhere.
fn checked(engine: EngineSpec) -> io::Result<EngineSpec> {
    engine.check().map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
    Ok(EngineSpec { program: std::path::absolute(&engine.program)?, ..engine })
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

/// Makes a folder readable by this user only.
fn create_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn unavailable(what: String, source: impl Into<BoxError>) -> RuntimeError {
    RuntimeError::Unavailable { what, source: source.into() }
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

//! The control plane as the server holds it: opened once, run until cancelled, closed.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dedi_domain::keys::KeyText;
use dedi_domain::{KeyFailures, LoadReport, Owner, Role, RouteTable, Scope};
use dedi_runtime_api::{Listing, Runtime, RuntimeError};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::ControlConfig;
use crate::http::{self, Api};
use crate::hub::HubConfig;
use crate::models::ModelStore;
use crate::parts::Parts;
use crate::random::{random_digits, random_uuid};
use crate::reconciler::Reconciler;
use crate::service::Services;
use crate::store::{
    Actor, AuditAction, AuditEntry, BackupError, DataLock, LeaderLock, LockError, SqliteStore, Store,
    StoreError, StoredKey,
};

/// Where the control plane keeps its things.
#[derive(Clone, Debug)]
pub struct DataPaths {
    /// The database.
    pub database: PathBuf,
    /// The file whose lock says who is the server of this folder.
    pub lock: PathBuf,
    /// The model store.
    pub models: PathBuf,
    /// The text of the first key, which [`ControlPlane::first_key`]'s caller keeps there.
    pub first_key: PathBuf,
    /// The logs of endpoints; read only to see whether there are any.
    pub logs: PathBuf,
}

impl DataPaths {
    /// The usual places below a data folder.
    pub fn below(root: &Path) -> Self {
        Self {
            database: root.join("state.db"),
            lock: root.join("server.lock"),
            models: root.join("models"),
            first_key: root.join("admin.key"),
            logs: root.join("logs"),
        }
    }
}

/// Why the control plane can't be opened. Each prints as one sentence.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another server has this data folder; the program's exit code is 3.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The config makes no sense.
    #[error("{0}")]
    Config(String),
    /// There is no database, but there are replicas: an empty one would end them all.
    #[error(
        "the database {} is missing, but replicas of it still run ({n_replicas}); put a copy made by `dedi backup` in its place, or, to begin without any endpoints and with a new key, end them with `dedi down` and move admin.key and the logs away",
        database.display()
    )]
    Missing {
        /// Path of the database.
        database: PathBuf,
        /// How many there are.
        n_replicas: usize,
    },
    /// There is no database, and whether there are replicas is not known.
    #[error("the database {} is missing, and whether replicas of it still run is unknown", database.display())]
    MissingUnseen {
        /// Path of the database.
        database: PathBuf,
        /// What the runtime answered.
        source: RuntimeError,
    },
    /// There is no database, but there was one: its key is kept, or its endpoints have logs.
    #[error(
        "the database {} is missing, but there was one: {traces} can be found; put a copy made by `dedi backup` in its place (docs/backup.md), or move what is left away to begin without any endpoints and with a new key",
        database.display()
    )]
    Lost {
        /// Path of the database.
        database: PathBuf,
        /// What is left, each with its path.
        traces: String,
    },
    /// The first key could not be written down; none was made.
    #[error("the first key could not be written")]
    FirstKey(#[source] std::io::Error),
}

/// The control plane. Clones are the same one.
#[derive(Clone)]
pub struct ControlPlane {
    parts: Arc<Parts>,
    services: Services,
    /// Whether this server ends: answers without an end of their own are cut then.
    closing: CancellationToken,
    reconciler: Arc<Mutex<Reconciler>>,
    lock: Arc<parking_lot::Mutex<Option<Box<dyn LeaderLock>>>>,
}

impl fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlPlane").field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl ControlPlane {
    /// Opens the database of a data folder that is locked.
    pub async fn open_locked(
        lock: DataLock,
        config: ControlConfig,
        hub: HubConfig,
        paths: DataPaths,
        runtime: Arc<dyn Runtime>,
        clock: Clock,
    ) -> Result<Self, ControlError> {
        config.check().map_err(ControlError::Config)?;
        hub.check().map_err(ControlError::Config)?;
        let store = open_database(&paths, runtime.as_ref(), &clock).await?;
        let models = ModelStore::new(paths.models);
        Self::over(Arc::new(store), Box::new(lock), config, hub, models, runtime, clock).await
    }

    /// Serves a store that is open, wherever it lies; its first pass takes the lead. `lock` keeps other servers from it.
    pub async fn over(
        store: Arc<dyn Store>,
        lock: Box<dyn LeaderLock>,
        config: ControlConfig,
        hub: HubConfig,
        models: ModelStore,
        runtime: Arc<dyn Runtime>,
        clock: Clock,
    ) -> Result<Self, ControlError> {
        let parts = Arc::new(Parts::open(config, hub, store, models, runtime, clock).await?);
        let closing = CancellationToken::new();
        let services = Services::new(&parts, closing.clone());
        let reconciler = Arc::new(Mutex::new(Reconciler::new(&parts)));
        Ok(Self { parts, services, closing, reconciler, lock: Arc::new(parking_lot::Mutex::new(Some(lock))) })
    }

    /// Makes the host's first key, an admin of `owner`, if there is no key at all. `keep` is given its text,
    /// the only time it is ever shown, and must have it on disk when it returns: the key becomes valid after
    /// that, so one that exists was written down. One that was `kept` by a server which ended before that becomes valid
    /// now, and no other is made. Answers whether a key was made.
    pub async fn first_key(
        &self,
        owner: &Owner,
        kept: Option<KeyText>,
        keep: impl FnOnce(&str) -> std::io::Result<()>,
    ) -> Result<bool, ControlError> {
        if !self.parts.keys.table().is_empty() {
            return Ok(false);
        }
        let made = kept.is_none();
        let text = kept.unwrap_or_else(|| KeyText::from_random(&random_digits()));
        if made {
            // First, and outside of the store's transaction: if the store refuses the key, the next start finds its text.
            keep(text.reveal()).map_err(ControlError::FirstKey)?;
        }
        let key = StoredKey {
            id: text.id(),
            name: "first key".to_owned(),
            owner: owner.clone(),
            role: Role::Admin,
            created_at: self.parts.clock.now(),
            expires_at: None,
            scope: Scope::default(),
            last_used_at: None,
        };
        let entry = AuditEntry {
            owner: Some(owner.clone()),
            by: Actor::SERVER,
            action: AuditAction::KeyCreate,
            object: key.id.to_string(),
            message: "made the first key, an admin".to_owned(),
        };
        self.parts.store.insert_key(&key, text.hash(), &entry).await?;
        self.parts.keys.reload().await?;
        Ok(made)
    }

    /// The tenants that have a key.
    pub fn owners(&self) -> BTreeSet<Owner> {
        self.parts.keys.table().owners().into_iter().cloned().collect()
    }

    /// The management API, JSON 404 for every unknown route included. A client's address is read from the
    /// request extension `ConnectInfo<SocketAddr>`; its wrong keys, and requests without one, count in `failures`. To be
    /// answered behind [`dedi_http::assign_request_id`], which also ends panics.
    pub fn router(&self, failures: Arc<KeyFailures>) -> axum::Router {
        let api = Api {
            services: self.services.clone(),
            keys: self.parts.keys.clone(),
            failures,
            clock: self.parts.clock.clone(),
            config: self.parts.config.clone(),
        };
        http::router(api)
    }

    /// What the gateway routes by.
    pub fn routes(&self) -> watch::Receiver<RouteTable> {
        self.parts.routing.subscribe()
    }

    /// The clocks, as others are to read them.
    pub fn clock(&self) -> Clock {
        self.parts.clock.clone()
    }

    /// Names this data folder for as long as it exists.
    pub fn installation(&self) -> uuid::Uuid {
        self.parts.store.installation()
    }

    /// Looks at the world and does what is due at once, so that the first answer to a client is not a guess.
    /// May be repeated until [`ControlPlane::run`] is called, which does the same from then on.
    pub async fn first_pass(&self) {
        self.reconciler.lock().await.settle(&LoadReport::default()).await;
    }

    /// Keeps the world as recorded until `cancel`. `loads` is what the gateway reports.
    pub async fn run(self, loads: watch::Receiver<LoadReport>, cancel: CancellationToken) {
        self.reconciler.lock().await.run(loads, cancel).await;
    }

    /// Lets another server have the data folder, which may give it back: what runs here is ended, requests that only
    /// read are answered still, and those that write wait for [`ControlPlane::resume`] for a few seconds and are
    /// refused then. [`ControlPlane::run`] must have ended.
    ///
    /// # Errors
    ///
    /// If a write under way does not end; the folder is still held then, and is to be resumed.
    pub async fn suspend(&self) -> Result<(), StoreError> {
        self.parts.checks.close().await;
        self.parts.pulls.close().await;
        self.parts.store.pause().await?;
        drop(self.release_lock());
        Ok(())
    }

    /// Takes up what [`ControlPlane::suspend`] put down. [`ControlPlane::run`] may be called again after that.
    ///
    /// # Errors
    ///
    /// If somebody has made the database another meanwhile; nothing is written here then.
    pub async fn resume(&self, lock: Box<dyn LeaderLock>) -> Result<(), ControlError> {
        self.parts.store.resume().await?;
        self.reconciler.lock().await.lead_again();
        *self.lock.lock() = Some(lock);
        self.parts.pulls.reopen();
        self.parts.checks.reopen();
        Ok(())
    }

    /// Cuts the answers that have no end of their own, a followed log's, and those that come after this: the client
    /// asks whoever serves then for the rest.
    pub fn cut_streams(&self) {
        self.closing.cancel();
    }

    /// Closes the store and then lets go of the data folder. Replicas go on.
    pub async fn close(&self) {
        self.parts.checks.close().await;
        self.parts.pulls.close().await;
        self.parts.store.close().await;
        drop(self.release_lock());
    }

    /// Copies the database to the new file `to` while everything goes on; answers the copy's size.
    pub async fn backup(&self, to: &Path) -> Result<u64, BackupError> {
        // Before, so that the copy has it; one that fails was asked for all the same.
        let entry = AuditEntry {
            owner: None,
            by: Actor::SERVER,
            action: AuditAction::Backup,
            object: to.display().to_string(),
            message: "a copy of the database was asked for".to_owned(),
        };
        if let Err(err) = self.parts.store.add_audit(&entry, self.parts.clock.now()).await {
            tracing::warn!("a backup could not be written into the audit log: {err}");
        }
        self.parts.store.backup(to).await
    }

    /// Lets others know that this server is ending, and how long its running requests may take.
    pub fn say_ending(&self, within: Duration) {
        if let Some(lock) = self.lock.lock().as_mut() {
            lock.say_ending(within);
        }
    }

    /// Gives the lock away. Nothing may be written here after that.
    pub fn release_lock(&self) -> Option<Box<dyn LeaderLock>> {
        self.lock.lock().take()
    }

    #[cfg(test)]
    pub(crate) fn parts_for_tests(&self) -> &Parts {
        &self.parts
    }

    #[cfg(test)]
    pub(crate) async fn sweep_for_tests(&self) {
        self.reconciler.lock().await.sweep_for_tests().await;
    }

    #[cfg(test)]
    pub(crate) async fn settle_for_tests(&self, report: &LoadReport) {
        self.reconciler.lock().await.settle(report).await;
    }
}

/// The database of a data folder; a new one only where nothing speaks for an earlier one.
pub(crate) async fn open_database(
    paths: &DataPaths,
    runtime: &dyn Runtime,
    clock: &Clock,
) -> Result<SqliteStore, ControlError> {
    refuse_to_forget(paths, runtime).await?;
    Ok(SqliteStore::open(&paths.database, random_uuid(), clock.now()).await?)
}

/// A new database knows no replica, and the first pass would end every one that runs; it knows no key either, and a copy
/// that is put back later would refuse the new one.
async fn refuse_to_forget(paths: &DataPaths, runtime: &dyn Runtime) -> Result<(), ControlError> {
    if std::fs::symlink_metadata(&paths.database).is_ok() {
        return Ok(());
    }
    let database = paths.database.clone();
    match runtime.list().await {
        Ok(Listing { replicas, unreadable }) => {
            match replicas.iter().filter(|it| it.may_live()).count() + unreadable.len() {
                0 => {}
                n_replicas => return Err(ControlError::Missing { database, n_replicas }),
            }
        }
        Err(source) => return Err(ControlError::MissingUnseen { database, source }),
    }
    // The run folder says nothing: a server that is ended at its very first start leaves one without a database.
    let mut traces = Vec::new();
    if std::fs::symlink_metadata(&paths.first_key).is_ok() {
        traces.push(format!("its first key {}", paths.first_key.display()));
    }
    if !runtime.logged_endpoints().await.unwrap_or_default().is_empty() {
        traces.push(format!("logs of its endpoints in {}", paths.logs.display()));
    }
    if traces.is_empty() {
        return Ok(());
    }
    Err(ControlError::Lost { database, traces: traces.join(" and ") })
}

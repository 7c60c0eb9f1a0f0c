//! A runtime that is only pretended: what a replica does is written into its script.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use async_trait::async_trait;
use dedi_domain::hardware::Health;
use dedi_domain::{
    Address, Capabilities, Device, DeviceId, DeviceKind, EndpointId, Exit, FailureCause, Inventory, NodeId,
    Nonce, ObservedReplica, ReplicaId, ReplicaPhase, Timestamp,
};
use dedi_replica_logs::{FileChunk, FileCursor, ReplicaLogs};
use dedi_runtime_api::{
    Launch, Listing, LogChunk, LogCursor, LogError, LogName, Logs, ModelUnavailable, Runtime, RuntimeError,
    Unreadable,
};
use tokio::sync::Notify;

/// What a launched replica does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Script {
    /// Is ready at once.
    #[default]
    Ready,
    /// Loads until told otherwise.
    Loads,
    /// Exits with an error.
    Exits(FailureCause),
    /// Can't be started.
    FailsToSpawn,
    /// Its model is not there any more when it is to be started.
    LacksModel,
}

#[derive(Default)]
struct Pretended {
    replicas: BTreeMap<ReplicaId, ObservedReplica>,
    inventory: Inventory,
    script: Script,
    /// `list` and `inventory` fail.
    is_down: bool,
    /// `list` panics.
    panics: bool,
    /// `ensure` panics for replicas of this endpoint.
    panics_for: Option<String>,
    /// The record of this replica can't be read.
    spoiled: Option<ReplicaId>,
    /// `remove` fails for this replica.
    keeps: Option<ReplicaId>,
    /// Removed processes stay as `Stopping` until told otherwise.
    stops_slowly: bool,
    /// Done by the next `list` that has so many behind it.
    at_list: Option<(u32, Box<dyn FnOnce() + Send>)>,
    launched: Vec<Launch>,
    removed: Vec<ReplicaId>,
    capabilities: Capabilities,
    logs: Option<ReplicaLogs>,
    /// A replica that exits has logged its last lines.
    writes_logs: bool,
}

/// A runtime without processes.
#[derive(Default)]
pub(crate) struct FakeRuntime {
    state: Mutex<Pretended>,
    changed: Notify,
}

impl FakeRuntime {
    /// A host with so many cores of 8 GB.
    pub(crate) fn with_cores(n: u32) -> Self {
        Self::with_devices(&DeviceKind { product: "cpu".into(), memory_gb: 8, link: String::new() }, n)
    }

    /// A host with so many devices of 8 GB.
    pub(crate) fn with_devices(kind: &DeviceKind, n: u32) -> Self {
        let devices = (0..n)
            .map(|index| Device {
                id: DeviceId::local(format!("{}-{index}", kind.product)),
                kind: kind.clone(),
                index,
                health: Health::Healthy,
                memory_total_bytes: 8_000_000_000,
                foreign_bytes: 0,
                foreign_processes: Vec::new(),
                leftover_bytes: 0,
                barred: None,
            })
            .collect();
        let it = Self::default();
        it.state.lock().unwrap().inventory = Inventory { devices, troubles: Vec::new() };
        it
    }

    /// What it can do from now on.
    pub(crate) fn set_capabilities(&self, capabilities: Capabilities) {
        self.state.lock().unwrap().capabilities = capabilities;
    }

    /// Where tests write what replicas log.
    pub(crate) fn keep_logs_in(&self, folder: &Path) {
        self.state.lock().unwrap().logs = Some(ReplicaLogs::new(folder));
    }

    /// Replicas that exit have logged their last lines from now on.
    pub(crate) fn write_logs(&self) {
        self.state.lock().unwrap().writes_logs = true;
    }

    fn logs(&self) -> ReplicaLogs {
        self.state.lock().unwrap().logs.clone().expect("a plane says where they are")
    }

    pub(crate) fn script(&self, script: Script) {
        let mut state = self.state.lock().unwrap();
        state.script = script;
        if script == Script::Ready {
            for it in state.replicas.values_mut() {
                if matches!(it.phase, ReplicaPhase::Launching { .. }) {
                    it.phase = ready(it.id);
                }
            }
        }
    }

    /// So many bytes stay held on a device though no replica is on it, while these run there.
    pub(crate) fn hold(&self, device: &str, bytes: u64, by: &[&str]) {
        let mut state = self.state.lock().unwrap();
        let it = state.inventory.devices.iter_mut().find(|it| it.id.name() == device).unwrap();
        it.leftover_bytes = bytes;
        it.foreign_processes = by.iter().map(|it| (*it).to_owned()).collect();
    }

    /// The driver says this of a device from now on.
    pub(crate) fn set_health(&self, device: &str, health: Health) {
        let mut state = self.state.lock().unwrap();
        state.inventory.devices.iter_mut().find(|it| it.id.name() == device).unwrap().health = health;
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.state.lock().unwrap().is_down = is_down;
    }

    pub(crate) fn set_panics(&self, panics: bool) {
        self.state.lock().unwrap().panics = panics;
    }

    pub(crate) fn set_panics_for(&self, endpoint: Option<&str>) {
        self.state.lock().unwrap().panics_for = endpoint.map(str::to_owned);
    }

    pub(crate) fn spoil(&self, replica: Option<ReplicaId>) {
        self.state.lock().unwrap().spoiled = replica;
    }

    pub(crate) fn keep(&self, replica: Option<ReplicaId>) {
        self.state.lock().unwrap().keeps = replica;
    }

    pub(crate) fn stops_slowly(&self, slowly: bool) {
        let mut state = self.state.lock().unwrap();
        state.stops_slowly = slowly;
        if !slowly {
            state.replicas.retain(|_, it| it.phase != ReplicaPhase::Stopping);
        }
    }

    /// Does this while it is asked for its list after `n` further ones.
    pub(crate) fn at_list(&self, n: u32, done: impl FnOnce() + Send + 'static) {
        self.state.lock().unwrap().at_list = Some((n, Box::new(done)));
    }

    pub(crate) fn launched(&self) -> Vec<Launch> {
        self.state.lock().unwrap().launched.clone()
    }

    pub(crate) fn n_removed(&self) -> usize {
        self.state.lock().unwrap().removed.len()
    }

    pub(crate) fn live(&self) -> Vec<ObservedReplica> {
        self.state.lock().unwrap().replicas.values().filter(|it| it.may_live()).cloned().collect()
    }

    /// Each live replica's engine is killed.
    pub(crate) fn kill_all(&self, at: Timestamp) {
        self.end_all(FailureCause::EngineKilled, at);
    }

    /// This replica has ended of this cause.
    pub(crate) fn end(&self, id: ReplicaId, cause: FailureCause, at: Timestamp) {
        if let Some(it) = self.state.lock().unwrap().replicas.get_mut(&id) {
            it.phase = exited(cause, at);
        }
    }

    /// Each replica has ended of this cause.
    pub(crate) fn end_all(&self, cause: FailureCause, at: Timestamp) {
        for it in self.state.lock().unwrap().replicas.values_mut() {
            it.phase = exited(cause, at);
        }
    }
}

fn ready(id: ReplicaId) -> ReplicaPhase {
    ReplicaPhase::Ready { address: Address::Unix(PathBuf::from(format!("{id}.sock"))) }
}

fn exited(cause: FailureCause, at: Timestamp) -> ReplicaPhase {
    let log_tail = vec!["loading".to_owned(), "cannot go on".to_owned()];
    ReplicaPhase::Exited(Exit { code: Some(7), signal: None, cause, at, log_tail })
}

fn down() -> RuntimeError {
    RuntimeError::Unavailable { what: "the host is asleep".into(), source: "asleep".into() }
}

#[async_trait]
impl Logs for FakeRuntime {
    async fn tail_log(
        &self,
        log: LogName,
        lines: usize,
        bytes_max: usize,
        is_over: bool,
    ) -> Result<Option<LogChunk>, LogError> {
        let read = self.logs().tail(log.endpoint, log.attempt, (lines, bytes_max), is_over);
        Ok(read.map_err(unread)?.map(chunk))
    }

    async fn follow_log(
        &self,
        log: LogName,
        from: &LogCursor,
        bytes_max: usize,
        is_over: bool,
    ) -> Result<LogChunk, LogError> {
        let from = match from.as_str() {
            "" => FileCursor::default(),
            word => word.parse().map_err(|_no_cursor| LogError::NoPlace)?,
        };
        self.logs().follow(log.endpoint, log.attempt, from, bytes_max, is_over).map(chunk).map_err(unread)
    }

    async fn last_logged_attempt(&self, endpoint: EndpointId) -> Result<u32, LogError> {
        let attempts = self.logs().attempts(endpoint).map_err(unread)?;
        Ok(attempts.last().map_or(0, |it| it.attempt))
    }

    async fn logged_endpoints(&self) -> Result<Vec<EndpointId>, LogError> {
        self.logs().endpoints().map_err(unread)
    }

    async fn forget_logs(&self, endpoint: EndpointId) -> Result<(), LogError> {
        self.logs().forget(endpoint).map_err(unread)
    }
}

fn chunk(it: FileChunk) -> LogChunk {
    LogChunk { bytes: it.bytes, next: LogCursor::new(it.next.to_string()) }
}

fn unread(err: std::io::Error) -> LogError {
    LogError::Unreadable(err.into())
}

#[async_trait]
impl Runtime for FakeRuntime {
    fn capabilities(&self) -> Capabilities {
        self.state.lock().unwrap().capabilities
    }

    async fn ensure(&self, launch: &Launch) -> Result<(), RuntimeError> {
        let panics_for = self.state.lock().unwrap().panics_for.clone();
        assert!(panics_for != Some(launch.endpoint.to_string()), "planned by the test");
        let mut state = self.state.lock().unwrap();
        match state.replicas.get(&launch.replica) {
            Some(known) if known.nonce == launch.nonce => return Ok(()),
            Some(_) => {
                let reason = "another replica has that name".to_owned();
                return Err(RuntimeError::Launch { replica: launch.replica, reason });
            }
            None => {}
        }
        let phase = match state.script {
            Script::Ready => ready(launch.replica),
            Script::Loads => ReplicaPhase::Launching { progress_at: Timestamp(i64::MAX), percent: Some(40) },
            Script::Exits(cause) => exited(cause, Timestamp(0)),
            Script::FailsToSpawn => {
                let reason = "no such program".to_owned();
                return Err(RuntimeError::Launch { replica: launch.replica, reason });
            }
            Script::LacksModel => {
                let why = ModelUnavailable::NotNow(format!("the model store has no `{}`", launch.model.name));
                return Err(RuntimeError::Model { replica: launch.replica, why });
            }
        };
        if state.writes_logs
            && let (ReplicaPhase::Exited(exit), Some(logs)) = (&phase, &state.logs)
        {
            let file = logs.path(launch.endpoint, launch.attempt);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, exit.log_tail.join("\n") + "\n").unwrap();
        }
        state.launched.push(launch.clone());
        let seen = ObservedReplica {
            id: launch.replica,
            nonce: launch.nonce,
            node: NodeId::LOCAL,
            phase,
            isolation: Some(1),
            unready: None,
        };
        state.replicas.insert(launch.replica, seen);
        Ok(())
    }

    async fn remove(&self, replica: ReplicaId, nonce: Nonce) -> Result<(), RuntimeError> {
        let mut state = self.state.lock().unwrap();
        let slowly = state.stops_slowly;
        if state.replicas.get(&replica).is_none_or(|it| it.nonce != nonce) {
            return Ok(());
        }
        if state.keeps == Some(replica) {
            return Err(down());
        }
        state.removed.push(replica);
        if slowly {
            if let Some(it) = state.replicas.get_mut(&replica) {
                it.phase = ReplicaPhase::Stopping;
            }
        } else {
            state.replicas.remove(&replica);
        }
        Ok(())
    }

    async fn end(&self, replica: ReplicaId, nonce: Nonce) -> Result<(), RuntimeError> {
        let mut state = self.state.lock().unwrap();
        if let Some(it) = state.replicas.get_mut(&replica).filter(|it| it.nonce == nonce) {
            it.phase = exited(FailureCause::Stopped, Timestamp(0));
        }
        Ok(())
    }

    async fn list(&self) -> Result<Listing, RuntimeError> {
        let panics = self.state.lock().unwrap().panics;
        assert!(!panics, "planned by the test");
        let mut state = self.state.lock().unwrap();
        match state.at_list.take() {
            Some((0, done)) => done(),
            later => state.at_list = later.map(|(n, done)| (n - 1, done)),
        }
        if state.is_down {
            return Err(down());
        }
        let (spoiled, replicas) =
            state.replicas.values().cloned().partition(|it| Some(it.id) == state.spoiled);
        let unreadable = |it: ObservedReplica| {
            let name: String = it.id.uuid().simple().to_string().chars().take(12).collect();
            Unreadable { why: format!("run/{name}/launch.json is no launch record"), name }
        };
        let spoiled: Vec<ObservedReplica> = spoiled;
        Ok(Listing { replicas, unreadable: spoiled.into_iter().map(unreadable).collect() })
    }

    async fn inventory(&self) -> Result<Inventory, RuntimeError> {
        let state = self.state.lock().unwrap();
        if state.is_down { Err(down()) } else { Ok(state.inventory.clone()) }
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }

    async fn shutdown(&self) {}
}

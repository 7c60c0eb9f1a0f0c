//! A control plane on a temporary folder with a runtime that is only pretended: what a replica does is written
//! into its script.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::body::Body;
use dedi_domain::hardware::Health;
use dedi_domain::keys::KeyText;
use dedi_domain::{
    Address, Device, DeviceId, DeviceKind, Exit, FailureCause, Inventory, KeyFailures, Launch, LoadReport,
    Nonce, ObservedReplica, Owner, ReplicaId, ReplicaPhase, Role, Timestamp,
};
use dedi_runtime::{Runtime, RuntimeError};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::Notify;
use tower::ServiceExt;

use crate::shared::random_digits;
use crate::store::{StoreError, StoredKey};
use crate::{Clock, ControlConfig, ControlPlane, DataPaths, FileLogs, HubConfig};

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
    /// Removed processes stay as `Stopping` until told otherwise.
    stops_slowly: bool,
    launched: Vec<Launch>,
    removed: Vec<ReplicaId>,
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
        let kind = DeviceKind { product: "cpu".into(), memory_gb: 8, link: String::new() };
        let devices = (0..n)
            .map(|index| Device {
                id: DeviceId(format!("cpu-{index}")),
                kind: kind.clone(),
                index,
                health: Health::Healthy,
                memory_total_bytes: 8_000_000_000,
                foreign_bytes: 0,
                foreign_processes: Vec::new(),
                leftover_bytes: 0,
            })
            .collect();
        let it = Self::default();
        it.state.lock().unwrap().inventory = Inventory { devices };
        it
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
        let it = state.inventory.devices.iter_mut().find(|it| it.id.0 == device).unwrap();
        it.leftover_bytes = bytes;
        it.foreign_processes = by.iter().map(|it| (*it).to_owned()).collect();
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.state.lock().unwrap().is_down = is_down;
    }

    pub(crate) fn set_panics(&self, panics: bool) {
        self.state.lock().unwrap().panics = panics;
    }

    pub(crate) fn stops_slowly(&self, slowly: bool) {
        let mut state = self.state.lock().unwrap();
        state.stops_slowly = slowly;
        if !slowly {
            state.replicas.retain(|_, it| it.phase != ReplicaPhase::Stopping);
        }
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
        for it in self.state.lock().unwrap().replicas.values_mut() {
            it.phase = exited(FailureCause::EngineKilled, at);
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
    RuntimeError::Unavailable { what: "the host is asleep".into(), source: std::io::Error::other("asleep") }
}

#[async_trait]
impl Runtime for FakeRuntime {
    async fn ensure(&self, launch: &Launch) -> Result<(), RuntimeError> {
        let mut state = self.state.lock().unwrap();
        if state.replicas.contains_key(&launch.replica) {
            return Ok(());
        }
        let phase = match state.script {
            Script::Ready => ready(launch.replica),
            Script::Loads => ReplicaPhase::Launching { progress_at: Timestamp(i64::MAX), percent: Some(40) },
            Script::Exits(cause) => exited(cause, Timestamp(0)),
            Script::FailsToSpawn => {
                let reason = "no such program".to_owned();
                return Err(RuntimeError::Launch { replica: launch.replica, reason });
            }
        };
        state.launched.push(launch.clone());
        let seen = ObservedReplica { id: launch.replica, nonce: launch.nonce, phase };
        state.replicas.insert(launch.replica, seen);
        Ok(())
    }

    async fn remove(&self, replica: ReplicaId, nonce: Nonce) -> Result<(), RuntimeError> {
        let mut state = self.state.lock().unwrap();
        let slowly = state.stops_slowly;
        if state.replicas.get(&replica).is_none_or(|it| it.nonce != nonce) {
            return Ok(());
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

    async fn list(&self) -> Result<Vec<ObservedReplica>, RuntimeError> {
        let panics = self.state.lock().unwrap().panics;
        assert!(!panics, "planned by the test");
        let state = self.state.lock().unwrap();
        if state.is_down { Err(down()) } else { Ok(state.replicas.values().cloned().collect()) }
    }

    async fn inventory(&self) -> Result<Inventory, RuntimeError> {
        let state = self.state.lock().unwrap();
        if state.is_down { Err(down()) } else { Ok(state.inventory.clone()) }
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|err| panic!("{err} in {self:?}"))
    }

    pub(crate) fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn param(&self) -> Option<String> {
        self.json()["error"]["param"].as_str().map(str::to_owned)
    }
}

/// A control plane under test.
pub(crate) struct Plane {
    pub(crate) control: ControlPlane,
    pub(crate) runtime: Arc<FakeRuntime>,
    pub(crate) clock: Arc<AtomicI64>,
    pub(crate) admin: String,
    pub(crate) failures: Arc<KeyFailures>,
    pub(crate) dir: Arc<tempfile::TempDir>,
    pub(crate) config: ControlConfig,
    hub: HubConfig,
}

/// 2026-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_767_225_600_000;

impl Plane {
    pub(crate) async fn start() -> Self {
        Self::with(ControlConfig::default(), FakeRuntime::with_cores(4)).await
    }

    pub(crate) async fn with(config: ControlConfig, runtime: FakeRuntime) -> Self {
        Self::with_hub(config, runtime, HubConfig::default()).await
    }

    pub(crate) async fn with_hub(config: ControlConfig, runtime: FakeRuntime, hub: HubConfig) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let models = dir.path().join("models/dedi/demo");
        std::fs::create_dir_all(&models).unwrap();
        std::fs::write(models.join("demo.gguf"), gguf(&Gguf::default())).unwrap();
        let clock = Arc::new(AtomicI64::new(START));
        let runtime = Arc::new(runtime);
        let control = open_with(&dir, &config, &hub, &runtime, &clock).await.unwrap();
        let mut admin = String::new();
        let owner = Owner::parse("team").unwrap();
        let made = control.first_key(&owner, |text| {
            admin = text.to_owned();
            Ok(())
        });
        assert!(made.await.unwrap());
        control.first_pass().await;
        let failures = Arc::new(KeyFailures::new(10, 1_000));
        Self { control, runtime, clock, admin, failures, dir, config, hub }
    }

    /// The same folder and processes under a new control plane.
    pub(crate) async fn restart(self) -> Self {
        self.control.close().await;
        let control =
            open_with(&self.dir, &self.config, &self.hub, &self.runtime, &self.clock).await.unwrap();
        control.first_pass().await;
        Self { control, ..self }
    }

    pub(crate) fn shared(&self) -> &crate::shared::Shared {
        self.control.shared_for_tests()
    }

    pub(crate) fn later(&self, secs: i64) {
        self.clock.fetch_add(secs * 1_000, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.clock.load(Ordering::Relaxed))
    }

    /// Passes until nothing is to be done, under a report of these loads.
    pub(crate) async fn settle(&self, report: &LoadReport) {
        self.control.settle_for_tests(report).await;
    }

    /// The same under a fresh report without any load, which has acknowledged every table.
    pub(crate) async fn settle_idle(&self) {
        let report = LoadReport { routes_version: u64::MAX, at: self.now(), ..LoadReport::default() };
        self.settle(&report).await;
    }

    /// A key of a tenant with a role.
    pub(crate) async fn key(&self, owner: &str, role: Role) -> String {
        let text = KeyText::from_random(&random_digits());
        let key = StoredKey {
            id: text.id(),
            name: String::new(),
            owner: Owner::parse(owner).unwrap(),
            role,
            created_at: self.now(),
            expires_at: None,
        };
        let store = &self.shared().store;
        store.insert_key(&key, text.hash(), || Ok::<_, StoreError>(())).await.unwrap();
        self.shared().reload_keys().await.unwrap();
        text.reveal().to_owned()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.control.router(self.failures.clone()).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// A request with the admin's key.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        self.call_as(Some(&self.admin), method, path, body).await
    }

    pub(crate) async fn call_as(&self, key: Option<&str>, method: &str, path: &str, body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// An endpoint of one replica on one core; its id.
    pub(crate) async fn create(&self, more: &str) -> String {
        let body = format!(
            r#"{{"model":"dedi/demo","hardware":"1x_cpu_8gb","autoscaling":{{"min_replicas":1,"max_replicas":1}}{more}}}"#
        );
        let answer = self.call("POST", "/v1/endpoints", &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn get(&self, id: &str) -> Value {
        let answer = self.call("GET", &format!("/v1/endpoints/{id}"), "").await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()
    }

    pub(crate) async fn state(&self, id: &str) -> String {
        self.get(id).await["state"].as_str().unwrap().to_owned()
    }

    /// The words of all events of an endpoint, oldest first.
    pub(crate) async fn events(&self, id: &str) -> Vec<String> {
        let answer = self.call("GET", &format!("/v1/endpoints/{id}/events"), "").await;
        let events = answer.json()["data"].as_array().unwrap().clone();
        events
            .iter()
            .map(|it| format!("{}: {}", it["kind"].as_str().unwrap(), it["message"].as_str().unwrap()))
            .collect()
    }
}

pub(crate) async fn open(
    dir: &tempfile::TempDir,
    config: &ControlConfig,
    runtime: &Arc<FakeRuntime>,
    clock: &Arc<AtomicI64>,
) -> Result<ControlPlane, crate::ControlError> {
    open_with(dir, config, &HubConfig::default(), runtime, clock).await
}

async fn open_with(
    dir: &tempfile::TempDir,
    config: &ControlConfig,
    hub: &HubConfig,
    runtime: &Arc<FakeRuntime>,
    clock: &Arc<AtomicI64>,
) -> Result<ControlPlane, crate::ControlError> {
    let (reads, moves) = (clock.clone(), clock.clone());
    let logs = dir.path().join("logs");
    ControlPlane::open(
        config.clone(),
        hub.clone(),
        DataPaths::below(dir.path()),
        runtime.clone(),
        Arc::new(FileLogs(move |log: crate::LogName| logs.join(format!("{}-{}", log.endpoint, log.attempt)))),
        Clock::new(
            move || Timestamp(reads.load(Ordering::Relaxed)),
            move |then| {
                moves.fetch_max(then.0, Ordering::Relaxed);
            },
        ),
    )
    .await
}

/// What a GGUF file made for a test says.
pub(crate) struct Gguf {
    pub(crate) n_layers: u32,
    pub(crate) context: u32,
    pub(crate) n_elements: u64,
    pub(crate) vocabulary: Vec<&'static str>,
}

impl Default for Gguf {
    fn default() -> Self {
        Self { n_layers: 2, context: 512, n_elements: 1_024, vocabulary: vec!["a", "b", "c"] }
    }
}

/// A small valid GGUF file with one F32 tensor.
pub(crate) fn gguf(of: &Gguf) -> Vec<u8> {
    fn text(out: &mut Vec<u8>, it: &str) {
        out.extend((it.len() as u64).to_le_bytes());
        out.extend(it.as_bytes());
    }
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend(1_u64.to_le_bytes());
    out.extend(7_u64.to_le_bytes());
    text(&mut out, "general.architecture");
    out.extend(8_u32.to_le_bytes());
    text(&mut out, "llama");
    for (key, value) in [
        ("llama.block_count", of.n_layers),
        ("llama.context_length", of.context),
        ("llama.embedding_length", 64),
        ("llama.attention.head_count", 4),
        ("llama.attention.head_count_kv", 2),
    ] {
        text(&mut out, key);
        out.extend(4_u32.to_le_bytes());
        out.extend(value.to_le_bytes());
    }
    text(&mut out, "tokenizer.ggml.tokens");
    out.extend(9_u32.to_le_bytes());
    out.extend(8_u32.to_le_bytes());
    out.extend((of.vocabulary.len() as u64).to_le_bytes());
    for token in &of.vocabulary {
        text(&mut out, token);
    }
    text(&mut out, "output.weight");
    out.extend(1_u32.to_le_bytes());
    out.extend(of.n_elements.to_le_bytes());
    out.extend(0_u32.to_le_bytes());
    out.extend(0_u64.to_le_bytes());
    out.resize(out.len().div_ceil(32) * 32, 0);
    out.resize(out.len() + usize::try_from(of.n_elements).unwrap() * 4, 0);
    out
}

/// Texts without doubles.
pub(crate) fn unique<T: Ord>(all: impl IntoIterator<Item = T>) -> usize {
    all.into_iter().collect::<BTreeSet<T>>().len()
}

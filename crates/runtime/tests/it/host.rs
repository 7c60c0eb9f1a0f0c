//! A run folder with its runtime, and what tests ask of it. Whatever a test leaves running is killed when
//! its host is dropped.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dedi_domain::engine::ModelFormat;
use dedi_domain::launch::AssignedDevice;
use dedi_domain::{
    DeviceId, DeviceKind, EndpointId, EngineKind, EngineSpec, ModelName, Nonce, ObservedReplica, ReplicaId,
    ReplicaPhase,
};
use dedi_runtime::process::{ProcessConfig, ProcessRuntime, ProcessSetup};
use dedi_runtime_api::{Launch, ModelFiles, ModelRef, ModelResolver, ModelUnavailable, Placement, Runtime};
use serde_json::Value;
use uuid::Uuid;

/// Longest wait for anything; most come within a few hundredths of it.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Host {
    pub root: tempfile::TempDir,
    pub config: ProcessConfig,
}

impl Host {
    pub(crate) fn new() -> Self {
        let config = ProcessConfig {
            stop_grace_secs: 1,
            probe_interval_ms: 50,
            launch_probe_interval_ms: 20,
            probe_timeout_ms: 1_000,
            log_bytes_max: 256 << 10,
            ..ProcessConfig::default()
        };
        Self { root: tempfile::Builder::new().prefix("dedi").tempdir_in("/tmp").unwrap(), config }
    }

    pub(crate) async fn open(&self) -> ProcessRuntime {
        ProcessRuntime::open(self.setup()).await.unwrap()
    }

    pub(crate) fn setup(&self) -> ProcessSetup {
        ProcessSetup {
            config: self.config.clone(),
            run: self.root.path().join("run"),
            logs: self.root.path().join("logs"),
            shim: dedi_testing::shim(),
            engines: vec![EngineSpec::embedded(dedi_testing::fake_engine())],
            models: Arc::new(AnyModel),
        }
    }

    pub(crate) fn dir(&self, launch: &Launch) -> PathBuf {
        self.root.path().join("run").join(&launch.replica.uuid().simple().to_string()[..12])
    }

    pub(crate) fn socket(&self, launch: &Launch) -> PathBuf {
        self.dir(launch).join("own/engine.sock")
    }

    /// The shim's record: who the processes are.
    pub(crate) fn who(&self, launch: &Launch) -> Value {
        serde_json::from_slice(&fs::read(self.dir(launch).join("shim.json")).unwrap()).unwrap()
    }

    pub(crate) fn shim_pid(&self, launch: &Launch) -> i32 {
        pid(&self.who(launch)["shim"])
    }

    pub(crate) fn engine_pid(&self, launch: &Launch) -> i32 {
        pid(&self.who(launch)["engine"])
    }

    /// Whether the shim has written down its engine.
    pub(crate) fn has_engine(&self, launch: &Launch) -> bool {
        self.dir(launch).join("shim.json").exists() && self.who(launch)["engine"].is_object()
    }

    pub(crate) fn log(&self, launch: &Launch) -> String {
        let path = self.root.path().join("logs").join(launch.endpoint.to_string());
        fs::read_to_string(path.join(format!("attempt-{}.log", launch.attempt))).unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Whoever mentions the run folder in its command line or works in it was started by this test.
        let root = self.root.path().to_string_lossy().into_owned();
        for pid in pids() {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let dir = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            let is_ours = String::from_utf8_lossy(&line).contains(&root) || dir.starts_with(&root);
            if is_ours && pid != i32::try_from(std::process::id()).unwrap() {
                kill(pid);
            }
        }
        self.remove_groups();
    }
}

impl Host {
    /// Control groups of replicas that a test ended behind everybody's back.
    fn remove_groups(&self) {
        let started = Instant::now();
        for entry in fs::read_dir(self.root.path().join("run")).into_iter().flatten().flatten() {
            let Ok(bytes) = fs::read(entry.path().join("shim.json")) else { continue };
            let who: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            for group in who["cgroups"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let group = std::path::Path::new(group);
                while fs::remove_dir(group).is_err() && group.exists() && started.elapsed() < WAIT_MAX {
                    std::thread::sleep(Duration::from_millis(5));
                }
                let _ = fs::remove_dir(group.parent().unwrap());
            }
        }
    }
}

/// The name of a model that is not there.
pub(crate) const ABSENT: &str = "absent";

/// Every other model is there: the file `/nowhere/model.gguf`, or the one that its revision names.
#[derive(Debug)]
pub(crate) struct AnyModel;

#[async_trait]
impl ModelResolver for AnyModel {
    async fn resolve(&self, model: &ModelRef) -> Result<ModelFiles, ModelUnavailable> {
        if model.name.base() == ABSENT {
            return Err(ModelUnavailable::NotNow(format!("there is no {}", model.name)));
        }
        let path: PathBuf = model.revision.as_deref().unwrap_or("/nowhere/model.gguf").into();
        let format = if path.is_dir() { ModelFormat::Safetensors } else { ModelFormat::Gguf };
        Ok(ModelFiles { path, format: Some(format) })
    }
}

pub(crate) fn pid(process: &Value) -> i32 {
    i32::try_from(process["pid"].as_i64().unwrap()).unwrap()
}

/// A launch of its own replica and endpoint; the engine behaves as `mode` says.
pub(crate) fn launch(mode: &str) -> Launch {
    let kind = DeviceKind { product: "cpu".into(), memory_gb: 1, link: String::new() };
    Launch {
        replica: ReplicaId::from_uuid(Uuid::new_v4()),
        nonce: Nonce::from_uuid(Uuid::new_v4()),
        endpoint: EndpointId::from_uuid(Uuid::new_v4()),
        attempt: 1,
        engine: EngineKind::default(),
        model: ModelRef { name: ModelName::parse(&format!("fake/{mode}")).unwrap(), revision: None },
        placement: Placement::Devices(vec![AssignedDevice { id: DeviceId::local("cpu-0"), kind, index: 0 }]),
        context_tokens: 128,
        slots: 2,
        memory_limit_bytes: None,
        embedding: false,
    }
}

/// Waits until the replica shows such a phase (or is absent: `None`), and returns what it showed.
pub(crate) async fn until(
    runtime: &ProcessRuntime,
    launch: &Launch,
    what: &str,
    is_it: impl Fn(Option<&ReplicaPhase>) -> bool,
) -> Option<ReplicaPhase> {
    let started = Instant::now();
    loop {
        let phase = phase(runtime, launch).await;
        if is_it(phase.as_ref()) {
            return phase;
        }
        assert!(started.elapsed() < WAIT_MAX, "not {what} after {WAIT_MAX:?}, but {phase:?}");
        // A hint or the next look, whichever comes first.
        let _ = tokio::time::timeout(Duration::from_millis(20), runtime.changed()).await;
    }
}

pub(crate) async fn phase(runtime: &ProcessRuntime, launch: &Launch) -> Option<ReplicaPhase> {
    let found: Vec<ObservedReplica> =
        runtime.list().await.unwrap().replicas.into_iter().filter(|it| it.id == launch.replica).collect();
    assert!(found.len() <= 1, "{found:?}");
    found.into_iter().next().inspect(|it| assert_eq!(it.nonce, launch.nonce)).map(|it| it.phase)
}

pub(crate) async fn until_ready(runtime: &ProcessRuntime, launch: &Launch) {
    until(runtime, launch, "ready", |it| matches!(it, Some(ReplicaPhase::Ready { .. }))).await;
}

pub(crate) async fn until_gone(runtime: &ProcessRuntime, launch: &Launch) {
    until(runtime, launch, "gone", |it| it.is_none()).await;
}

pub(crate) async fn until_exited(runtime: &ProcessRuntime, launch: &Launch) -> dedi_domain::Exit {
    match until(runtime, launch, "exited", |it| matches!(it, Some(ReplicaPhase::Exited(_)))).await {
        Some(ReplicaPhase::Exited(exit)) => exit,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn until_true(what: &str, mut is_true: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_true() {
        assert!(started.elapsed() < WAIT_MAX, "not {what} after {WAIT_MAX:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn stat_fields(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_ascii_whitespace().map(str::to_owned).collect())
}

/// Runs, and is no zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    stat_fields(pid).is_some_and(|it| it[0] != "Z" && it[0] != "X")
}

pub(crate) fn start_time(pid: i32) -> u64 {
    stat_fields(pid).unwrap()[19].parse().unwrap()
}

/// Processes that work in the replica's folder: its engine and everything that came of it.
pub(crate) fn working_in(host: &Host, launch: &Launch) -> Vec<i32> {
    let dir = host.dir(launch);
    let works = |pid: &i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|it| it.starts_with(&dir));
    pids().into_iter().filter(works).collect()
}

/// Is in the table of processes, be it as a zombie. Meant for pids seen a moment ago.
pub(crate) fn is_listed(pid: i32) -> bool {
    stat_fields(pid).is_some_and(|it| it[1] == std::process::id().to_string())
}

pub(crate) fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

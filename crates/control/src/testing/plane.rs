//! A control plane on a temporary folder, asked through its router.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::body::Body;
use dedi_domain::keys::KeyText;
use dedi_domain::{KeyFailures, LoadReport, Owner, Role, Timestamp};
use dedi_replica_logs::ReplicaLogs;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use sqlx::SqlitePool;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{FakeRuntime, Gguf, gguf};
use crate::models::ModelStore;
use crate::plane::open_database;
use crate::random::random_digits;
use crate::store::{Actor, AuditAction, AuditEntry, DataLock, SqliteStore, StoredKey};
use crate::{Clock, ControlConfig, ControlPlane, DataPaths, HubConfig};

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
    store: SqliteStore,
    pub(crate) runtime: Arc<FakeRuntime>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) admin: String,
    pub(crate) failures: Arc<KeyFailures>,
    pub(crate) dir: Arc<tempfile::TempDir>,
    pub(crate) config: ControlConfig,
    hub: HubConfig,
}

/// A clock that goes on when it is told to, and can be set.
#[derive(Debug, Default)]
pub(crate) struct TestClock {
    now_ms: AtomicI64,
    uptime_ms: AtomicI64,
    /// How far the wall clock is from `now_ms`.
    wall_ahead_ms: AtomicI64,
}

impl TestClock {
    pub(crate) fn go_on(&self, ms: i64) {
        self.uptime_ms.fetch_add(ms, Ordering::Relaxed);
        self.set(ms);
    }

    /// Sets the wall clock while the control plane runs.
    pub(crate) fn set_wall(&self, by_ms: i64) {
        self.wall_ahead_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    fn wall(&self) -> Timestamp {
        Timestamp(self.now_ms.load(Ordering::Relaxed) + self.wall_ahead_ms.load(Ordering::Relaxed))
    }

    /// A start of the program: its steady clock begins at the wall clock.
    fn begin(&self) {
        self.now_ms.fetch_add(self.wall_ahead_ms.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The wall clock stays where it is when the steady one is moved on.
    fn begin_not_before(&self, then: Timestamp) {
        let before = self.now_ms.fetch_max(then.0, Ordering::Relaxed);
        self.wall_ahead_ms.fetch_sub((then.0 - before).max(0), Ordering::Relaxed);
    }

    /// Sets it, as somebody does while the control plane is down.
    pub(crate) fn set(&self, by_ms: i64) {
        self.now_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

/// The loop, running.
pub(crate) struct Running {
    cancel: CancellationToken,
    loads: watch::Sender<LoadReport>,
    tasks: JoinSet<()>,
}

impl Running {
    /// The gateway reports this.
    pub(crate) fn report(&self, report: LoadReport) {
        self.loads.send_replace(report);
    }

    /// Tells the loop to end and waits for that.
    pub(crate) async fn end(self) {
        self.cancel.cancel();
        tokio::time::timeout(Duration::from_secs(5), self.tasks.join_all()).await.unwrap();
    }
}

/// What the audit log says of a key that a test makes.
pub(crate) fn entry(key: &StoredKey) -> AuditEntry {
    AuditEntry {
        owner: Some(key.owner.clone()),
        by: Actor::SERVER,
        action: AuditAction::KeyCreate,
        object: key.id.to_string(),
        message: String::new(),
    }
}

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600_000;

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
        let clock = Arc::new(TestClock::default());
        clock.set(START);
        let runtime = Arc::new(runtime);
        let (control, store) = open_with(&dir, &config, &hub, &runtime, &clock).await.unwrap();
        let mut admin = String::new();
        let owner = Owner::parse("team").unwrap();
        let made = control.first_key(&owner, None, |text| {
            admin = text.to_owned();
            Ok(())
        });
        assert!(made.await.unwrap());
        control.first_pass().await;
        let failures = Arc::new(KeyFailures::new(10, 1_000));
        Self { control, store, runtime, clock, admin, failures, dir, config, hub }
    }

    /// The same folder and processes under a new control plane.
    pub(crate) async fn restart(self) -> Self {
        self.control.close().await;
        let (control, store) =
            open_with(&self.dir, &self.config, &self.hub, &self.runtime, &self.clock).await.unwrap();
        control.first_pass().await;
        Self { control, store, ..self }
    }

    pub(crate) fn logs(&self) -> ReplicaLogs {
        ReplicaLogs::new(self.dir.path().join("logs"))
    }

    pub(crate) fn parts(&self) -> &crate::parts::Parts {
        self.control.parts_for_tests()
    }

    /// The one connection to the database that writes.
    pub(crate) fn writer(&self) -> SqlitePool {
        self.store.writer_for_tests()
    }

    pub(crate) fn later(&self, secs: i64) {
        self.clock.go_on(secs * 1_000);
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.clock.now_ms.load(Ordering::Relaxed))
    }

    /// Runs the loop itself, under a report without load, until it is told to end.
    pub(crate) fn run(&self) -> Running {
        let cancel = CancellationToken::new();
        let (loads, seen) = watch::channel(LoadReport::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(self.control.clone().run(seen, cancel.clone()));
        Running { cancel, loads, tasks }
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
            scope: dedi_domain::Scope::default(),
            last_used_at: None,
        };
        let store = &self.parts().store;
        store.insert_key(&key, text.hash(), &crate::testing::entry(&key)).await.unwrap();
        self.parts().keys.reload().await.unwrap();
        text.reveal().to_owned()
    }

    /// The management API behind the layer that the server has around everything.
    fn app(&self) -> axum::Router {
        self.control
            .router(self.failures.clone())
            .layer(axum::middleware::from_fn(dedi_http::assign_request_id))
    }

    /// The answer as it begins, to a request with the admin's key.
    pub(crate) async fn open(&self, method: &str, path: &str) -> Response<Body> {
        let key = format!("Bearer {}", self.admin);
        let request = Request::builder().method(method).uri(path).header("authorization", key);
        let request = request.body(Body::empty()).unwrap();
        self.app().oneshot(request).await.unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app().oneshot(request).await.unwrap();
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

    /// The same from the store, for one that can't be looked up.
    pub(crate) async fn events_of_store(&self, id: &str) -> Vec<String> {
        let events = self.parts().store.events(id.parse().unwrap(), 0, 1_000).await.unwrap();
        events.into_iter().map(|it| it.message).collect()
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
    clock: &Arc<TestClock>,
) -> Result<ControlPlane, crate::ControlError> {
    Ok(open_with(dir, config, &HubConfig::default(), runtime, clock).await?.0)
}

async fn open_with(
    dir: &tempfile::TempDir,
    config: &ControlConfig,
    hub: &HubConfig,
    runtime: &Arc<FakeRuntime>,
    clock: &Arc<TestClock>,
) -> Result<(ControlPlane, SqliteStore), crate::ControlError> {
    clock.begin();
    let (reads, counts, moves, walls) = (clock.clone(), clock.clone(), clock.clone(), clock.clone());
    let logs = dir.path().join("logs");
    std::fs::create_dir_all(&logs).unwrap();
    runtime.keep_logs_in(&logs);
    let clock = Clock::new(
        move || Timestamp(reads.now_ms.load(Ordering::Relaxed)),
        move || Duration::from_millis(counts.uptime_ms.load(Ordering::Relaxed).unsigned_abs()),
        move |then| moves.begin_not_before(then),
        move || walls.wall(),
    );
    let paths = DataPaths::below(dir.path());
    let lock = Box::new(DataLock::acquire(&paths.lock)?);
    let store = open_database(&paths, runtime.as_ref(), &clock).await?;
    let models = ModelStore::new(paths.models);
    let (config, hub, runtime) = (config.clone(), hub.clone(), runtime.clone());
    let over = ControlPlane::over(Arc::new(store.clone()), lock, config, hub, models, runtime, clock);
    Ok((over.await?, store))
}

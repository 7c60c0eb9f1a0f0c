//! An engine that tries to get out, at each isolation level.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use dedi_domain::FailureCause;
use dedi_runtime::process::{IsolationSetting, ProcessRuntime, isolation_level};
use dedi_runtime_api::{Launch, Runtime};
use dedi_testing::host::has;
use dedi_testing::{ESCAPE_REPORT, EscapeTargets};

use crate::host::{Host, launch, until_exited, until_gone, until_ready};

/// What an engine needs, and may do at every level.
const OWN: &str = "own: ";

/// What any user may do: refused by nothing but level 1.
const OPEN_AT_0: [&str; 16] = [
    "read the database",
    "open the key for writing",
    "change the mode of another model",
    "read the replica's own record",
    "open the replica's own record for writing",
    "list another replica's folder",
    "write into the folder of replicas",
    "write into the model's folder",
    "list /var/lib",
    "connect to a port of this host",
    "listen on a TCP port",
    "connect to another replica",
    "connect to an abstract socket",
    "signal the server",
    "signal another replica's engine",
    "read the environment of another replica's engine",
];

/// Somebody else's things on a host, and a replica that goes for them.
struct Scene {
    host: Host,
    runtime: ProcessRuntime,
    sibling: Launch,
    escaper: Launch,
    _listeners: (TcpListener, UnixListener),
}

impl Scene {
    async fn at(setting: IsolationSetting) -> Self {
        let mut host = Host::new();
        host.config.isolation = setting;
        let runtime = host.open().await;
        let root = host.root.path().to_owned();
        let file = |name: &str| {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            path
        };
        let sibling = launch("ok");
        runtime.ensure(&sibling).await.unwrap();
        until_ready(&runtime, &sibling).await;

        let model = file("models/fake/escape/model.gguf");
        let escaper = with_model(&model);
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let abstract_socket = format!("dedi-escape-{}", escaper.nonce);
        let address = SocketAddr::from_abstract_name(&abstract_socket).unwrap();
        let named = |all: &[(&str, PathBuf)]| all.iter().map(|it| (it.0.to_owned(), it.1.clone())).collect();
        let processes = [
            ("the server", i32::try_from(std::process::id()).unwrap()),
            ("another replica's supervisor", host.shim_pid(&sibling)),
            ("another replica's engine", host.engine_pid(&sibling)),
        ];
        let targets = EscapeTargets {
            files: named(&[
                ("the database", file("dedi.db")),
                ("the key", file("admin.key")),
                ("another model", file("models/fake/other/model.gguf")),
                ("another replica's record", host.dir(&sibling).join("launch.json")),
                ("the replica's own record", host.dir(&escaper).join("launch.json")),
                ("the replica's lock", host.dir(&escaper).join("lock")),
            ]),
            folders: named(&[
                ("the data folder", root.clone()),
                ("the folder of replicas", root.join("run")),
                ("the folder of logs", root.join("logs")),
                ("the replica's own folder of records", host.dir(&escaper)),
                ("another replica's folder", host.dir(&sibling).join("own")),
                ("the folder for temporary files", "/tmp".into()),
                ("shared memory", "/dev/shm".into()),
            ]),
            sockets: named(&[("another replica", host.socket(&sibling))]),
            abstract_socket,
            port: tcp.local_addr().unwrap().port(),
            processes: processes.into_iter().map(|(name, pid)| (name.to_owned(), pid)).collect(),
        };
        fs::write(&model, serde_json::to_vec(&targets).unwrap()).unwrap();
        let listeners = (tcp, UnixListener::bind_addr(&address).unwrap());
        runtime.ensure(&escaper).await.unwrap();
        until_ready(&runtime, &escaper).await;
        Self { host, runtime, sibling, escaper, _listeners: listeners }
    }

    /// What was attempted, and whether it was refused.
    fn report(&self) -> BTreeMap<String, bool> {
        let path = self.host.dir(&self.escaper).join("own").join(ESCAPE_REPORT);
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    async fn level(&self) -> Option<u8> {
        let all = self.runtime.list().await.unwrap().replicas;
        all.into_iter().find(|it| it.id == self.escaper.replica).unwrap().isolation
    }

    async fn end(self) {
        for launch in [&self.sibling, &self.escaper] {
            self.runtime.remove(launch.replica, launch.nonce).await.unwrap();
            until_gone(&self.runtime, launch).await;
        }
    }
}

#[tokio::test]
async fn at_level_1_an_engine_gets_at_nothing_but_its_own() {
    let host = isolation_level(IsolationSetting::Auto);
    if !has(host.level() == Some(1), "Landlock and a filter of system calls") {
        return;
    }
    let scene = Scene::at(IsolationSetting::Level1).await;
    assert_eq!(scene.level().await, Some(1));
    let report = scene.report();
    let is_own = |name: &str| name.starts_with(OWN);
    // Only newer kernels prevent it, and doctor says so of others.
    let is_known = |name: &str| name.starts_with("signal ") && !host.keeps_signals();
    let mut open: Vec<&String> = report.iter().filter(|it| !it.1).map(|it| it.0).collect();
    open.retain(|it| !is_own(it) && !is_known(it));
    assert!(open.is_empty(), "these got through: {open:#?}");
    let refused: Vec<&String> = report.iter().filter(|it| *it.1).map(|it| it.0).collect();
    assert!(!refused.iter().any(|it| is_own(it)), "what an engine needs was refused: {refused:#?}");
    assert!(refused.len() > 100, "{} attempts were refused", refused.len());
    // What got nowhere left nothing.
    assert_eq!(fs::read(scene.host.root.path().join("dedi.db")).unwrap(), b"x");
    scene.end().await;
}

#[tokio::test]
async fn at_level_0_an_engine_gets_at_what_its_user_may() {
    let scene = Scene::at(IsolationSetting::Level0).await;
    assert_eq!(scene.level().await, Some(0));
    let report = scene.report();
    for name in OPEN_AT_0 {
        assert_eq!(report.get(name), Some(&false), "{name}: {report:#?}");
    }
    let refused: Vec<&String> = report.iter().filter(|it| *it.1).map(|it| it.0).collect();
    assert!(!refused.iter().any(|it| it.starts_with(OWN)), "{refused:#?}");
    scene.end().await;
}

/// A launch whose model is that file.
fn with_model(path: &Path) -> Launch {
    let mut launch = launch("escape");
    launch.model.revision = Some(path.to_string_lossy().into_owned());
    launch
}

/// Runs on a thread whose kernel has no Landlock, as far as it and what it starts can see.
fn without_landlock<F: Future>(work: impl FnOnce() -> F + Send) {
    const LANDLOCK_CREATE_RULESET: i64 = 444;
    let rules = [(LANDLOCK_CREATE_RULESET, Vec::new())].into_iter().collect();
    let hidden = seccompiler::SeccompAction::Errno(rustix::io::Errno::NOSYS.raw_os_error().unsigned_abs());
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter =
        seccompiler::SeccompFilter::new(rules, seccompiler::SeccompAction::Allow, hidden, arch).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            seccompiler::apply_filter(&program).unwrap();
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work());
        });
    });
}

#[test]
fn a_host_without_landlock_starts_replicas_at_level_0_and_says_why() {
    without_landlock(|| async {
        let host = Host::new();
        let runtime = host.open().await;
        let launch = launch("ok");
        runtime.ensure(&launch).await.unwrap();
        until_ready(&runtime, &launch).await;
        assert_eq!(runtime.list().await.unwrap().replicas[0].isolation, Some(0));
        assert!(host.log(&launch).contains("[dedi] isolation level 0: this kernel has no Landlock"));
    });
}

#[test]
fn a_host_without_landlock_starts_nothing_where_level_1_is_demanded() {
    without_landlock(|| async {
        let mut host = Host::new();
        host.config.isolation = IsolationSetting::Level1;
        let runtime = host.open().await;
        let launch = launch("ok");
        runtime.ensure(&launch).await.unwrap();
        let exit = until_exited(&runtime, &launch).await;
        assert_eq!(exit.cause, FailureCause::SpawnFailed);
        let said = exit.log_tail.last().unwrap();
        assert!(said.contains("runtime.isolation = 1 can't be had: this kernel has no Landlock"), "{said}");
        assert!(!said.contains("dedi-fake-engine"), "the program is not to blame: {said}");
    });
}

#[tokio::test]
async fn an_engine_that_was_refused_something_ends_with_a_hint_at_the_settings() {
    if !has(
        isolation_level(IsolationSetting::Auto).level() == Some(1),
        "Landlock and a filter of system calls",
    ) {
        return;
    }
    let host = Host::new();
    let runtime = host.open().await;
    // Outside of what it may look into; as its model, it is asked to read it.
    let launch = with_model("/proc/1/environ".as_ref());
    runtime.ensure(&launch).await.unwrap();
    let exit = until_exited(&runtime, &launch).await;
    assert!(exit.log_tail.iter().any(|it| it.contains("ermission denied")), "{exit:?}");
    assert!(exit.log_tail.last().unwrap().contains("runtime.isolation = 0"), "{exit:?}");
}

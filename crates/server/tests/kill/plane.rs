//! A real server on a folder in memory, with fake engines. It is killed and started again on what is there.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::client::Client;
use crate::folders;

/// Longest wait for a server to listen, or to end.
const START_MAX: Duration = Duration::from_secs(20);

/// Longest wait for one that a failpoint has killed to be dead.
const DEATH_MAX: Duration = Duration::from_secs(2);

/// Longest wait for a program that does one thing. `dedi down` is given a quarter of it.
const RUN_MAX: Duration = Duration::from_secs(60);

/// Quick looks, no back-off, and never ERROR: a killed shim is a failure, and the sweep makes thousands.
const CONFIG: &str = "
log = \"info\"
[control]
tick_millis = 100
backoff_base_secs = 0
backoff_cap_secs = 0
failures_max = 1000000
inactive_timeout_minutes = 0
[runtime]
probe_interval_ms = 100
launch_probe_interval_ms = 10
stop_grace_secs = 1
env_pass = [\"DEDI_FAKE_STARTS\"]
[runtime.hardware]
cpu_devices = 4
cpu_memory_gb = 1
";

/// A folder, and the server on it while one runs.
pub(crate) struct Plane {
    folder: tempfile::TempDir,
    server: Option<Child>,
    successor: Option<Child>,
    /// Length of the log when the last takeover began.
    log_bytes_before: usize,
    client: Client,
}

/// The built `dedi`.
fn dedi() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_dedi"))
}

impl Plane {
    /// A new folder, without a server yet.
    pub(crate) fn new() -> Self {
        let folder = folders::new();
        let engine = dedi().with_file_name("dedi-fake-engine");
        assert!(engine.exists(), "{} is not built: run `make build-test` first", engine.display());
        // The server finds it beside itself.
        assert_eq!(dedi_testing::shim().parent(), dedi().parent());
        let client = Client::new("", "");
        let plane = Self { folder, server: None, successor: None, log_bytes_before: 0, client };
        std::fs::create_dir(plane.data()).unwrap();
        // Engines note their starts in a file of the test's, which is not in their folder.
        std::fs::write(plane.starts(), "").unwrap();
        let shared = format!("[runtime]\nwrite_pass = [{:?}]", plane.starts().display().to_string());
        let config = CONFIG.replace("[runtime]", &shared);
        let text = format!("engine = {:?}\n{config}", engine.display().to_string());
        std::fs::write(plane.data().join("dedi.toml"), text).unwrap();
        plane
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("d")
    }

    /// What the failpoint, the trace and the log lie in.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Where engines note their starts.
    pub(crate) fn starts(&self) -> PathBuf {
        self.folder.path().join("starts")
    }

    fn failpoint(&self) -> PathBuf {
        self.folder.path().join("failpoint")
    }

    fn trace(&self) -> PathBuf {
        self.folder.path().join("trace")
    }

    /// From now on the first process that comes to `place/step:n` dies there.
    pub(crate) fn arm(&self, words: &str) {
        if let Some((_, file)) = self.hit() {
            std::fs::remove_file(file).unwrap();
        }
        let draft = self.folder.path().join("failpoint.new");
        std::fs::write(&draft, words).unwrap();
        std::fs::rename(draft, self.failpoint()).unwrap();
    }

    /// Takes the failpoint away; whether somebody came to it, and is dead by now.
    pub(crate) fn disarm(&self) -> bool {
        let _ = std::fs::remove_file(self.failpoint());
        let Some((pid, _)) = self.hit() else { return false };
        // The file is renamed before the death, which a busy host may put off. Who is there for longer has been
        // given the pid of the dead.
        let began = Instant::now();
        while crate::snapshot::is_alive(pid) && began.elapsed() < DEATH_MAX {
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    pub(crate) fn was_hit(&self) -> bool {
        self.hit().is_some()
    }

    /// Who came to the failpoint, and the file that says so.
    fn hit(&self) -> Option<(i32, PathBuf)> {
        std::fs::read_dir(self.folder.path()).unwrap().flatten().find_map(|it| {
            let pid = it.file_name().to_str()?.strip_prefix("failpoint.hit.")?.parse().ok()?;
            Some((pid, it.path()))
        })
    }

    /// The places passed since the last call, in order.
    pub(crate) fn take_trace(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.trace()).unwrap_or_default();
        let _ = std::fs::remove_file(self.trace());
        text.lines().map(str::to_owned).collect()
    }

    /// Starts the server; false if it died before it listened, which a failpoint may make it do.
    pub(crate) fn start(&mut self, trace: bool) -> bool {
        let address = self.data().join("address");
        let _ = std::fs::remove_file(&address);
        self.server = Some(self.spawn(trace, &[]));
        let began = Instant::now();
        while began.elapsed() < START_MAX {
            if !self.is_running() {
                self.server = None;
                return false;
            }
            let text = std::fs::read_to_string(&address).unwrap_or_default();
            if text.ends_with('\n') {
                let key = std::fs::read_to_string(self.data().join("admin.key")).unwrap();
                self.client = Client::new(text.trim(), key.trim());
                return true;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        panic!("the server does not listen\n{}", self.log_tail());
    }

    fn spawn(&self, trace: bool, more: &[&str]) -> Child {
        let mut words = vec!["serve", "--listen", "127.0.0.1:0"];
        words.extend(more);
        self.run(trace, &words)
    }

    /// `dedi` with these words on this folder.
    fn run(&self, trace: bool, words: &[&str]) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log"));
        let log = log.unwrap();
        let mut command = Command::new(dedi());
        command
            .args(words)
            .arg("--data-dir")
            .arg(self.data())
            .env("DEDI_FAILPOINT", format!("@{}", self.failpoint().display()))
            .env("DEDI_FAKE_STARTS", self.starts())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        if trace {
            command.env("DEDI_FAILPOINT_TRACE", self.trace());
        }
        command.spawn().unwrap()
    }

    /// `dedi down`.
    pub(crate) fn spawn_down(&self, trace: bool) -> Child {
        self.run(trace, &["down", "--wait", "15"])
    }

    /// A server on the same folder, though one runs.
    pub(crate) fn spawn_second(&self) -> Child {
        self.spawn(false, &[])
    }

    /// Starts a server that takes over from the one that runs.
    pub(crate) fn begin_takeover(&mut self, trace: bool) {
        // What is there afterwards is the successor's, also where its predecessor died before it removed its own.
        let _ = std::fs::remove_file(self.data().join("address"));
        self.log_bytes_before = std::fs::read(self.folder.path().join("log")).unwrap().len();
        self.successor = Some(self.spawn(trace, &["--takeover"]));
    }

    /// Whether the successor serves, once that is certain: it does when its predecessor has ended and the
    /// address is there again, and does not once it has ended itself.
    pub(crate) fn end_takeover(&mut self) -> Option<bool> {
        let has_address = self.data().join("address").exists();
        let successor = self.successor.as_mut()?;
        if successor.try_wait().unwrap().is_some() {
            self.successor = None;
            return Some(false);
        }
        if self.is_running() || !has_address {
            return None;
        }
        self.server = self.successor.take();
        Some(true)
    }

    /// Whether a server that takes over has neither ended nor become the server.
    pub(crate) fn has_successor(&self) -> bool {
        self.successor.is_some()
    }

    /// Whether the server that was to be taken over from was never asked, or has its folder back.
    pub(crate) fn has_kept_folder(&self) -> bool {
        let log = std::fs::read(self.folder.path().join("log")).unwrap();
        let said = String::from_utf8_lossy(&log[self.log_bytes_before..]);
        !said.contains("a new server asks to take over") || said.contains("has its data folder again")
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.server.as_mut().is_some_and(|it| it.try_wait().unwrap().is_none())
    }

    /// The demo model under the names that tell the fake engine how to behave.
    pub(crate) fn add_models(&self) {
        let models = self.data().join("models");
        for name in &crate::operation::MODELS[1..] {
            std::fs::create_dir_all(models.join(name)).unwrap();
            std::fs::copy(models.join("dedi/demo/demo.gguf"), models.join(name).join("model.gguf")).unwrap();
        }
    }

    /// `kill -9` of the server, if it still runs, and of one that takes over; its replicas go on.
    pub(crate) fn kill(&mut self) {
        for mut server in self.server.take().into_iter().chain(self.successor.take()) {
            let _ = server.kill();
            server.wait().unwrap();
        }
    }

    /// The last lines of the server's log.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Keeps the folder for somebody to look at.
    pub(crate) fn keep(&mut self) -> PathBuf {
        folders::keep(&mut self.folder)
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.kill();
        for process in crate::snapshot::processes(&self.data()) {
            signal(process.pid, Signal::KILL);
        }
    }
}

/// How a program ended. One that does not is killed, and that is the error.
pub(crate) fn ended(mut child: Child) -> Result<ExitStatus, String> {
    let began = Instant::now();
    while began.elapsed() < RUN_MAX {
        if let Some(status) = child.try_wait().map_err(|err| err.to_string())? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(format!("process {} did not end within {RUN_MAX:?}", child.id()))
}

/// Sends a signal to a process that the caller has just seen.
pub(crate) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

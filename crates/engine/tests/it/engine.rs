//! Starts the program and waits for what it does.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client;

const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

pub(crate) fn demo_model() -> PathBuf {
    // Asked when the test runs: it may have been built from another clone with the same target folder.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package).join("../../models/dedi/demo/demo.gguf")
}

/// A running engine; killed when dropped.
pub(crate) struct Engine {
    process: Child,
    folder: TempDir,
}

impl Engine {
    /// Starts one that serves the demo model, and waits until it is ready.
    pub(crate) async fn start(args: &[&str]) -> Self {
        let engine = Self::launch(&demo_model(), args);
        engine
            .until("healthy", async || {
                client::get(&engine.socket(), "/health").await.is_ok_and(|it| it.0 == 200)
            })
            .await;
        engine
    }

    pub(crate) fn launch(model: &Path, args: &[&str]) -> Self {
        Self::launch_in(model, args, &[])
    }

    /// The same with more of an environment.
    pub(crate) fn launch_in(model: &Path, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_dedi-engine"))
            .arg("serve")
            .arg("--model")
            .arg(model)
            .arg("--socket")
            .arg(folder.path().join("engine.sock"))
            .args(["--model-name", "dedi/demo", "--threads", "1"])
            .args(args)
            .env("DEDI_NONCE", "test-nonce")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { process, folder }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("engine.sock")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    #[cfg(feature = "vulkan")]
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
    }

    pub(crate) async fn exit(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "still running; log: {}", self.log());
            tokio::time::sleep(POLL).await;
        }
    }

    pub(crate) async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let started = Instant::now();
        while !condition().await {
            assert!(started.elapsed() < PATIENCE, "not {what} in time; log: {}", self.log());
            tokio::time::sleep(POLL).await;
        }
    }

    /// The processes it has started and that have not ended.
    pub(crate) fn children(&self) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap();
        let of_task = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.ok()?.path().join("children")).ok()
        };
        tasks.filter_map(of_task).map(|it| it.split_whitespace().count()).sum()
    }

    /// The most memory it had, in MiB.
    pub(crate) fn memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
    }

    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let (_, text) = client::get(&self.socket(), "/metrics").await.unwrap();
        let line = text.lines().find_map(|it| it.strip_prefix(&format!("dedi_engine_{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _may_have_ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

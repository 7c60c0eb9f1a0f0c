//! Starts the real server with the real engine in a temporary folder, talks to it, and leaves no process.

mod client;
mod processes;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

pub(crate) use self::client::{Answer, Client};
use self::processes::processes;
pub(crate) use self::processes::{signal, until};

/// Longest any condition is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running server and its folder.
pub(crate) struct TestPlane {
    folder: tempfile::TempDir,
    server: Option<Child>,
    client: Client,
}

impl std::ops::Deref for TestPlane {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// The built `dedi`.
pub(crate) fn dedi() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_dedi"))
}

/// Another program of the workspace, built into the same folder.
pub(crate) fn beside(name: &str) -> PathBuf {
    let path = dedi().with_file_name(name);
    assert!(path.exists(), "{} is not built: run `cargo build --workspace --bins` first", path.display());
    path
}

impl TestPlane {
    /// A server with two CPU devices and the real engine.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// The same with more lines of config.
    pub(crate) fn start_with(config: &str) -> Self {
        Self::start_after(config, |_| {})
    }

    /// The same after something was done with its data folder, which is empty yet.
    pub(crate) fn start_after(config: &str, prepare: impl FnOnce(&Path)) -> Self {
        Self::start_on(config, "cpu_devices = 2\ncpu_memory_gb = 1\n", &Value::Null, prepare)
    }

    /// A server without CPU devices, with these GPUs and the fake engine.
    pub(crate) fn start_with_gpus(config: &str, gpus: &Value) -> Self {
        let library = dedi_testing::fake_nvml();
        let hardware = format!("cpu_devices = 0\nnvml_library = {:?}\n", library.display().to_string());
        let engine = dedi_testing::fake_engine();
        let config = match config.contains("engine =") {
            true => config.to_owned(),
            false => format!("engine = {:?}\n{config}", engine.display().to_string()),
        };
        Self::start_on(&config, &hardware, gpus, |_| {})
    }

    /// A server with two CPU devices and the real engine, and with these GPUs beside them.
    pub(crate) fn start_with_gpus_beside(config: &str, gpus: &Value) -> Self {
        let library = dedi_testing::fake_nvml();
        let library = library.display().to_string();
        let hardware = format!("cpu_devices = 2\ncpu_memory_gb = 1\nnvml_library = {library:?}\n");
        Self::start_on(config, &hardware, gpus, |_| {})
    }

    fn start_on(config: &str, hardware: &str, gpus: &Value, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::Builder::new().prefix("dedi-it-").tempdir_in("/tmp").unwrap();
        let engine = beside("dedi-engine");
        // The server finds it beside itself.
        assert_eq!(dedi_testing::shim().parent(), dedi().parent());
        let engine_line = if config.contains("engine =") {
            String::new()
        } else {
            format!("engine = {:?}\n", engine.display().to_string())
        };
        let text = format!("{engine_line}{config}\n[runtime.hardware]\n{hardware}");
        let data = folder.path().join("d");
        std::fs::create_dir(&data).unwrap();
        prepare(&data);
        std::fs::write(data.join("dedi.toml"), text).unwrap();
        let mut plane = Self {
            folder,
            server: None,
            client: Client {
                base_url: String::new(),
                key: String::new(),
                agent: ureq::Agent::config_builder()
                    .http_status_as_error(false)
                    .timeout_global(Some(PATIENCE))
                    // One connection a request: what is counted as dropped was dropped by the server, not by a pool.
                    .max_idle_connections(0)
                    .build()
                    .into(),
            },
        };
        if !gpus.is_null() {
            plane.set_gpus(gpus);
        }
        plane.launch();
        plane
    }

    /// Changes the GPUs that the fake driver shows, all at once.
    pub(crate) fn set_gpus(&self, gpus: &Value) {
        let new = self.folder.path().join("gpus.new");
        std::fs::write(&new, gpus.to_string()).unwrap();
        std::fs::rename(new, self.folder.path().join("gpus")).unwrap();
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("d")
    }

    pub(crate) fn key(&self) -> &str {
        &self.client.key
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(crate) fn server_pid(&self) -> u32 {
        self.server.as_ref().unwrap().id()
    }

    /// Whether the server has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.server.as_mut().is_some_and(|it| it.try_wait().unwrap().is_none())
    }

    /// Starts the server on the folder as it is.
    pub(crate) fn launch(&mut self) {
        self.launch_on("127.0.0.1:0");
    }

    /// The same on the address of the server before it.
    pub(crate) fn launch_again(&mut self) {
        let address = self.client.address().to_owned();
        self.launch_on(&address);
    }

    fn launch_on(&mut self, address: &str) {
        self.launch_by(self.serve(Command::new(dedi()), address));
    }

    /// Starts the server on the folder as it is, on every address of the host.
    pub(crate) fn launch_on_all(&mut self) {
        self.launch_on("[::]:0");
    }

    /// Starts the server on the folder with a command of one's own; see [`TestPlane::serve`].
    pub(crate) fn launch_by(&mut self, mut command: Command) {
        let _ = std::fs::remove_file(self.data().join("address"));
        self.server = Some(command.spawn().unwrap());
        let address = until("the server's address", || {
            let ended = self.server.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the server ended: {ended:?}\n{}", self.log());
            std::fs::read_to_string(self.folder.path().join("d/address")).ok().filter(|it| it.ends_with('\n'))
        });
        self.client.base_url = format!("http://{}/v1", address.trim());
        self.client.key = std::fs::read_to_string(self.data().join("admin.key")).unwrap().trim().to_owned();
        let ready = self.base_url.replace("/v1", "/readyz");
        until("readiness", || self.agent.get(&ready).call().ok().filter(|it| it.status() == 200).map(|_| ()));
    }

    /// Starts a server that takes over from the running one, which may still finish its requests.
    pub(crate) fn begin_take_over(&mut self) -> Child {
        let n_listening = |plane: &Self| plane.log().matches("listening on http://").count();
        let before = n_listening(self);
        let successor = self.spawn("127.0.0.1:0", &["--takeover"]);
        let old = self.server.replace(successor).unwrap();
        until("the new server's address", || {
            let ended = self.server.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the new server ended: {ended:?}\n{}", self.log());
            (n_listening(self) > before).then_some(())
        });
        old
    }

    /// Starts one more server on the folder.
    pub(crate) fn spawn(&self, address: &str, more: &[&str]) -> Child {
        self.serve(Command::new(dedi()), address).args(more).spawn().unwrap()
    }

    /// The command of a server on the folder: `program` is `dedi`, or what runs it with the words that follow.
    pub(crate) fn serve(&self, mut program: Command, address: &str) -> Command {
        let log =
            std::fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        program
            .args(["serve", "--listen", address, "--data-dir"])
            .arg(self.data())
            .env("DEDI_FAKE_NVML", self.folder.path().join("gpus"))
            .envs(self.variables())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        program
    }

    /// What else is in a server's environment: the object of texts in the file `variables` beside the data folder.
    fn variables(&self) -> std::collections::BTreeMap<String, String> {
        let text = std::fs::read(self.folder.path().join("variables")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// `kill -9` of the server; its replicas go on.
    pub(crate) fn kill_server(&mut self) {
        let mut server = self.server.take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// SIGTERM, and its exit code.
    pub(crate) fn stop_server(&mut self) -> Option<i32> {
        let mut server = self.server.take().unwrap();
        signal(server.id(), "TERM");
        until("the server's end", || server.try_wait().unwrap()).code()
    }

    /// The server's process, to be ended by the caller.
    pub(crate) fn take_server(&mut self) -> Child {
        self.server.take().unwrap()
    }

    /// Waits for a server that something else ends.
    pub(crate) fn forget_server(&mut self) {
        let mut server = self.server.take().unwrap();
        until("the server's end", || server.try_wait().unwrap());
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Live engine processes of this folder.
    pub(crate) fn engines(&self) -> Vec<u32> {
        processes(&self.data(), |args| {
            args.iter().any(|it| it == "--model-name" || it.ends_with("engine.sock"))
        })
    }

    /// Live supervisors of this folder.
    pub(crate) fn shims(&self) -> Vec<u32> {
        self.processes_with(|args| args.get(1).is_some_and(|it| it == "shim"))
    }

    /// Every live process that names this folder.
    pub(crate) fn processes(&self) -> Vec<u32> {
        processes(&self.data(), |_| true)
    }

    /// Those of them whose arguments are as asked.
    pub(crate) fn processes_with(&self, wanted: impl Fn(&[String]) -> bool) -> Vec<u32> {
        processes(&self.data(), wanted)
    }

    /// `dedi` with the plane's folder, to be run.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(dedi());
        command
            .args(args)
            .env("DEDI_DATA_DIR", self.data())
            .env("DEDI_FAKE_NVML", self.folder.path().join("gpus"))
            .env("DEDI_BASE_URL", &self.base_url)
            .env_remove("TOGETHER_API_KEY")
            .stdin(Stdio::null());
        command
    }

    /// Runs `dedi` with the plane's folder; status code, stdout, stderr.
    pub(crate) fn cli(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}

impl Drop for TestPlane {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- server log ---\n{}", self.log());
        }
        let _ = Command::new(dedi()).args(["down", "--data-dir"]).arg(self.data()).output();
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
        let left = self.processes();
        for pid in &left {
            signal(*pid, "KILL");
        }
        if !std::thread::panicking() {
            assert!(left.is_empty(), "`dedi down` left processes: {left:?}");
        }
    }
}

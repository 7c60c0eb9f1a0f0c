//! Starts the real server with the real engine in a temporary folder, talks to it, and leaves no process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longest any condition is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running server and its folder.
pub(crate) struct TestPlane {
    folder: tempfile::TempDir,
    server: Option<Child>,
    client: Client,
}

/// Speaks to a server with its admin key.
#[derive(Clone)]
pub(crate) struct Client {
    base_url: String,
    key: String,
    agent: ureq::Agent,
}

impl std::ops::Deref for TestPlane {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// An answer: status and JSON body (null if it is not JSON).
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// The error's code and message.
    pub(crate) fn error(&self) -> (&str, &str) {
        let text = |name: &str| self.body["error"][name].as_str().unwrap_or("");
        (text("code"), text("message"))
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
        let config = format!("engine = {:?}\n{config}", engine.display().to_string());
        Self::start_on(&config, &hardware, gpus, |_| {})
    }

    fn start_on(config: &str, hardware: &str, gpus: &Value, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::Builder::new().prefix("dedi-it-").tempdir_in("/tmp").unwrap();
        let engine = beside("dedi-engine");
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

    /// Starts the server on the folder as it is.
    pub(crate) fn launch(&mut self) {
        let _ = std::fs::remove_file(self.data().join("address"));
        self.server = Some(self.spawn(&[]));
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
        let successor = self.spawn(&["--takeover"]);
        let old = self.server.replace(successor).unwrap();
        until("the new server's address", || {
            let ended = self.server.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the new server ended: {ended:?}\n{}", self.log());
            (n_listening(self) > before).then_some(())
        });
        old
    }

    fn spawn(&self, more: &[&str]) -> Child {
        let log =
            std::fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        Command::new(dedi())
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(self.data())
            .args(more)
            .env("DEDI_FAKE_NVML", self.folder.path().join("gpus"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
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

    /// Every live process that names this folder.
    pub(crate) fn processes(&self) -> Vec<u32> {
        processes(&self.data(), |_| true)
    }

    /// Those of them whose arguments are as asked.
    pub(crate) fn processes_with(&self, wanted: impl Fn(&[String]) -> bool) -> Vec<u32> {
        processes(&self.data(), wanted)
    }

    /// Runs `dedi` with the plane's folder; status code, stdout, stderr.
    pub(crate) fn cli(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(dedi())
            .args(args)
            .env("DEDI_DATA_DIR", self.data())
            .env("DEDI_FAKE_NVML", self.folder.path().join("gpus"))
            .env("DEDI_BASE_URL", &self.base_url)
            .env_remove("TOGETHER_API_KEY")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}

impl Client {
    /// The same client with another key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> &str {
        self.base_url.trim_start_matches("http://").trim_end_matches("/v1")
    }

    /// The same client, but one that keeps connections for its next requests.
    pub(crate) fn keeping_connections(&self) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        Self { agent: agent.build().into(), ..self.clone() }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        answer(
            self.agent.get(format!("{}{path}", self.base_url)).header("Authorization", self.bearer()).call(),
        )
    }

    /// An answer that is text.
    pub(crate) fn text(&self, path: &str) -> String {
        let request =
            self.agent.get(format!("{}{path}", self.base_url)).header("Authorization", self.bearer());
        let mut response = request.call().unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        assert_eq!(response.status(), 200, "{text}");
        text
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        let request =
            self.agent.post(format!("{}{path}", self.base_url)).header("Authorization", self.bearer());
        answer(request.send_json(body))
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Answer {
        let request =
            self.agent.patch(format!("{}{path}", self.base_url)).header("Authorization", self.bearer());
        answer(request.send_json(body))
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        answer(
            self.agent
                .delete(format!("{}{path}", self.base_url))
                .header("Authorization", self.bearer())
                .call(),
        )
    }

    /// Asks for a path of the root without a key.
    pub(crate) fn anonymous(&self, path: &str) -> Answer {
        answer(self.agent.get(format!("{}{path}", self.base_url.trim_end_matches("/v1"))).call())
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.key)
    }

    /// Creates an endpoint on the demo model and returns the object.
    pub(crate) fn create(&self, hardware: &str, min: u32, max: u32) -> Value {
        let made = self.post(
            "/endpoints",
            &json!({"model": "dedi/demo", "hardware": hardware, "autoscaling": {"min_replicas": min, "max_replicas": max}}),
        );
        assert_eq!(made.status, 200, "{}", made.body);
        made.body
    }

    /// Waits until the endpoint is in `state`; the object then.
    pub(crate) fn until_state(&self, id: &str, state: &str) -> Value {
        let mut last = Value::Null;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            last = self.get(&format!("/endpoints/{id}")).body;
            if last["state"] == state {
                return last;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{id} did not become {state}: {last:#}");
    }

    pub(crate) fn chat(&self, model: &str, text: &str) -> Answer {
        self.post(
            "/chat/completions",
            &json!({"model": model, "messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 64}),
        )
    }

    /// The events of a streamed chat, as the bytes after `data: `, until `keep_going` says no.
    pub(crate) fn stream(&self, body: &Value, mut keep_going: impl FnMut(&str) -> bool) -> Vec<String> {
        let request = self
            .agent
            .post(format!("{}/chat/completions", self.base_url))
            .header("Authorization", self.bearer())
            .send_json(body)
            .unwrap();
        assert_eq!(request.status(), 200, "{:?}", request.into_body().read_to_string());
        let mut events = Vec::new();
        for line in BufReader::new(request.into_body().into_reader()).lines() {
            let Ok(line) = line else { break };
            if let Some(data) = line.strip_prefix("data: ") {
                events.push(data.to_owned());
                if !keep_going(data) {
                    break;
                }
            }
        }
        events
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

fn answer(result: Result<http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut response = result.unwrap();
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().unwrap_or_default();
    Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::Null) }
}

/// Sends a signal by name.
pub(crate) fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").args([format!("-{name}"), pid.to_string()]).output();
}

/// Polls `condition` until it gives something, for [`PATIENCE`] at most.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(it) = condition() {
            return it;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("waited {} s for {what}", PATIENCE.as_secs());
}

fn processes(folder: &Path, wanted: impl Fn(&[String]) -> bool) -> Vec<u32> {
    let folder = folder.display().to_string();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
            let args: Vec<String> =
                line.split(|it| *it == 0).map(|it| String::from_utf8_lossy(it).into_owned()).collect();
            let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            let named = args.iter().any(|it| it.contains(&folder)) || cwd.starts_with(&folder);
            named && wanted(&args) && is_alive(*pid)
        })
        .collect()
}

fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|it| it.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z')))
}

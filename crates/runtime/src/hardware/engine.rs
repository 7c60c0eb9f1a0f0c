//! What the engine program can compute on, as it says itself. A GPU that its engine can't use would be reserved and paid
//! for while a few cores do the work, so it is not given away.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use dedi_domain::{Bar, BarCause};
use parking_lot::Mutex;
use serde::Deserialize;

/// How long a look waits for the first answer. Later ones are taken when they are there.
const FIRST_WAIT: Duration = Duration::from_secs(3);

/// Longest wait for the program: drivers of eight GPUs that nobody uses take several seconds to wake up.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// How often the end of the program is looked for.
const POLL: Duration = Duration::from_millis(10);

/// How long an answer holds that may become another without another program: that no GPU is seen, or no answer.
const DOUBT: Duration = Duration::from_secs(60);

/// Most bytes that are read of an answer; sixteen GPUs take two kilobytes.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// What helps an engine without a GPU back-end.
const BUILD: &str = "build one that has: `make engine GPU=cuda`, or GPU=vulkan";

/// The engine program and what it last said.
#[derive(Debug)]
pub(super) struct Engine {
    program: PathBuf,
    /// Its environment when it is asked: what engines get, without devices.
    environment: Vec<(String, String)>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Which file said it.
    file: Option<FileId>,
    report: Option<(BackendReport, Instant)>,
    asked: Option<Receiver<BackendReport>>,
}

/// Another one is another program, or the same built anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

/// What the engine program reports about its backends.
#[derive(Clone, Debug, PartialEq)]
enum BackendReport {
    Backends(Vec<Backend>),
    /// It does not support the query; engines other than dedi's do not.
    Nothing,
    /// It did not answer in time.
    Late,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Answer {
    backends: Vec<Backend>,
}

/// More members may come.
#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Backend {
    name: String,
    is_gpu: bool,
    devices: Vec<serde::de::IgnoredAny>,
}

impl Engine {
    pub(super) fn new(program: PathBuf, environment: Vec<(String, String)>) -> Self {
        Self { program, environment, state: Mutex::default() }
    }

    /// Why replicas can't compute on this host's `n_gpus`, if they can't.
    pub(super) fn bar(&self, n_gpus: usize) -> Option<Bar> {
        // One that is not there can't be started, which is told in its own words.
        let file = FileId::of(&self.program)?;
        let mut state = self.state.lock();
        if state.file != Some(file) {
            *state = State { file: Some(file), ..State::default() };
        }
        let is_old =
            state.report.as_ref().is_none_or(|(report, at)| report.is_doubtful() && at.elapsed() >= DOUBT);
        if is_old && state.asked.is_none() {
            state.asked = Some(self.ask());
        }
        if let Some(asked) = &state.asked {
            let answer = match state.report {
                None => asked.recv_timeout(FIRST_WAIT).map_err(|err| err == mpsc::RecvTimeoutError::Timeout),
                Some(_) => asked.try_recv().map_err(|err| err == TryRecvError::Empty),
            };
            match answer {
                Ok(report) => {
                    state.report = Some((report, Instant::now()));
                    state.asked = None;
                }
                Err(is_awaited) if is_awaited => {}
                // The thread died; the next look asks again.
                Err(_) => state.asked = None,
            }
        }
        match &state.report {
            Some((report, _)) => report.bar(n_gpus),
            None => Some(bar(
                "the engine program has not said yet what it can compute on",
                "wait some seconds; the next look tells".to_owned(),
            )),
        }
    }

    /// Asks the program, off this thread: it may take a while. The thread ends with the program or at the limit.
    fn ask(&self) -> Receiver<BackendReport> {
        let (answer, asked) = mpsc::channel();
        let (program, environment) = (self.program.clone(), self.environment.clone());
        let named = thread::Builder::new().name("engine-backends".to_owned());
        let begun = named.spawn(move || {
            // Nobody waits for it any more if the program was replaced meanwhile.
            let _ = answer.send(ask(&program, &environment, ANSWER_WAIT));
        });
        if let Err(err) = begun {
            tracing::warn!("the engine program can't be asked what it can compute on: {err}");
        }
        asked
    }
}

impl FileId {
    fn of(program: &Path) -> Option<Self> {
        let file = fs::metadata(program).ok()?;
        let changed = (file.ctime(), file.ctime_nsec());
        Some(Self { device: file.dev(), inode: file.ino(), bytes: file.len(), changed })
    }
}

impl BackendReport {
    /// Whether the same program may say something else later.
    fn is_doubtful(&self) -> bool {
        match self {
            Self::Backends(all) => all.iter().any(|it| it.is_gpu) && !sees_gpu(all),
            Self::Nothing => false,
            Self::Late => true,
        }
    }

    fn bar(&self, n_gpus: usize) -> Option<Bar> {
        let all = match self {
            Self::Backends(all) => all,
            // Other engines are taken at their operator's word.
            Self::Nothing => return None,
            Self::Late => {
                let secs = ANSWER_WAIT.as_secs();
                return Some(bar(
                    &format!("the engine program did not say within {secs} s what it can compute on"),
                    "run it with --backends; if that hangs, so does the GPU driver: `nvidia-smi`, `dmesg`"
                        .to_owned(),
                ));
            }
        };
        let names: Vec<&str> = all.iter().filter(|it| it.is_gpu).map(|it| it.name.as_str()).collect();
        if names.is_empty() {
            return Some(bar(
                "dedi-engine was built without a GPU back-end and would compute on the CPU",
                BUILD.to_owned(),
            ));
        }
        if !sees_gpu(all) {
            return Some(bar(
                &format!("dedi-engine's back-end {} sees no GPU and would compute on the CPU", names.join(" and ")),
                "check that the driver suits it: `dedi-engine --backends` and `nvidia-smi` tell; else build another \
                 one with `make engine GPU=cuda`, or GPU=vulkan"
                    .to_owned(),
            ));
        }
        // Vulkan numbers devices in an order of its own, and which number a GPU has can't be told.
        (n_gpus > 1 && names == ["vulkan"]).then(|| {
            bar(
                "dedi-engine's back-end vulkan can't be held to one of several GPUs",
                "build one with `make engine GPU=cuda`".to_owned(),
            )
        })
    }
}

fn sees_gpu(all: &[Backend]) -> bool {
    all.iter().any(|it| it.is_gpu && !it.devices.is_empty())
}

fn bar(what: &str, cure: String) -> Bar {
    Bar { cause: BarCause::EngineLacksGpu, what: what.to_owned(), cure }
}

/// Runs the program with the question, and ends it at the limit.
fn ask(program: &Path, environment: &[(String, String)], limit: Duration) -> BackendReport {
    let mut asked = Command::new(program);
    asked.arg("--backends=json").env_clear().envs(environment.iter().cloned());
    let begun = asked.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = begun else { return BackendReport::Nothing };
    let output = child.stdout.take();
    let until = Instant::now() + limit;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            // One that says more than fits into the pipe waits here, too.
            Ok(None) if Instant::now() < until => thread::sleep(POLL),
            Ok(None) | Err(_) => {
                let (_, _) = (child.kill(), child.wait());
                return BackendReport::Late;
            }
        }
    };
    let mut text = Vec::new();
    // A child of it that holds the pipe open has to end, too; what is read is bounded.
    let read = output.map(|it| it.take(ANSWER_BYTES_MAX).read_to_end(&mut text));
    match (status.success(), read, serde_json::from_slice::<Answer>(&text)) {
        (true, Some(Ok(_)), Ok(answer)) => BackendReport::Backends(answer.backends),
        (_, _, _) => BackendReport::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(folder: &tempfile::TempDir, script: &str) -> PathBuf {
        let path = folder.path().join("engine");
        // Written aside: a file that is being written can't be run.
        let new = folder.path().join("new");
        fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o700)).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }

    fn reporting(folder: &tempfile::TempDir, backends: &str) -> PathBuf {
        program(
            folder,
            &format!("[ \"$1\" = --backends=json ] && echo '{{\"backends\":[{backends}],\"more\":1}}'"),
        )
    }

    const CPU: &str = r#"{"name":"cpu","is_gpu":false,"devices":[{"name":"CPU"}]}"#;

    #[test]
    fn engine_is_asked_once_and_anew_when_it_is_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let count = folder.path().join("count");
        let script = |backends: &str| {
            format!("echo x >> {}; echo '{{\"backends\":[{CPU}{backends}]}}'", count.display())
        };
        let path = program(&folder, &script(""));
        let engine = Engine::new(path, vec![("PATH".into(), "/usr/bin:/bin".into())]);
        for _ in 0..3 {
            let bar = engine.bar(4).unwrap();
            assert_eq!(bar.cause, BarCause::EngineLacksGpu);
            assert!(bar.what.contains("built without a GPU back-end"), "{bar:?}");
            assert!(bar.cure.contains("`make engine GPU=cuda`"), "{bar:?}");
        }
        assert_eq!(fs::read_to_string(&count).unwrap(), "x\n");
        program(&folder, &script(r#",{"name":"cuda","is_gpu":true,"devices":[{}]}"#));
        assert_eq!(engine.bar(4), None);
        assert_eq!(fs::read_to_string(&count).unwrap(), "x\nx\n");
    }

    #[test]
    fn engine_bars_gpus_only_by_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |path: &Path| ask(path, &[], Duration::from_secs(20));
        let gpu = |name: &str, devices: &str| {
            format!(r#"{CPU},{{"name":"{name}","is_gpu":true,"devices":[{devices}]}}"#)
        };
        let blind = ask(&reporting(&folder, &gpu("cuda", "")));
        assert!(blind.bar(1).unwrap().what.contains("back-end cuda sees no GPU"));
        assert!(blind.is_doubtful());
        let sees = ask(&reporting(&folder, &gpu("vulkan", "{}")));
        assert_eq!(sees.bar(1), None);
        assert!(sees.bar(2).unwrap().what.contains("one of several"), "{sees:?}");
        assert_eq!(ask(&reporting(&folder, &gpu("cuda", "{},{}"))).bar(2), None);
        // Other engines, and none at all.
        for script in ["exit 2", "echo no json", "echo '{}'"] {
            assert_eq!(ask(&program(&folder, script)), BackendReport::Nothing, "{script}");
        }
        assert_eq!(ask(Path::new("/nowhere/engine")), BackendReport::Nothing);
        assert_eq!(BackendReport::Nothing.bar(4), None);
        assert_eq!(Engine::new("/nowhere/engine".into(), Vec::new()).bar(4), None);
    }

    #[test]
    fn engine_that_hangs_or_floods_is_ended_at_the_limit_and_gets_no_gpu() {
        let folder = tempfile::tempdir().unwrap();
        let limit = Duration::from_millis(300);
        for script in ["exec sleep 60", "exec cat /dev/zero"] {
            let path = program(&folder, script);
            let begun = Instant::now();
            let report = ask(&path, &[("PATH".into(), "/usr/bin:/bin".into())], limit);
            assert_eq!(report, BackendReport::Late, "{script}");
            assert!(begun.elapsed() < Duration::from_secs(20));
            assert!(report.bar(1).unwrap().cure.contains("--backends"));
        }
    }
}

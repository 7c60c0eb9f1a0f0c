//! Isolation level 1: what an engine may reach and ask of the kernel, set up around it when it is started.
//!
//! Promises: all of it or nothing; what was set up is never taken back, and everything the engine starts has
//! it too. Absent on purpose: namespaces (docs/decisions/0007-isolation.md says why), code between fork and
//! exec, and `unsafe`.

mod calls;
mod files;

use std::path::{Path, PathBuf};
use std::thread;

use dedi_domain::Launch;
use landlock::{LandlockStatus, RestrictionStatus, RulesetStatus};
use rustix::thread::{CapabilitySet, CapabilitySets};
use serde::{Deserialize, Serialize};

use super::config::{IsolationSetting, ProcessConfig};

/// Landlock's version from which on signals stay among the engine's own processes (Linux 6.12).
const SIGNALS_SINCE: i32 = 6;

/// Stack of the thread that goes behind the rules and starts the engine.
const STACK_BYTES: usize = 256 << 10;

/// What one engine may reach besides what every program needs; decided by the server, kept in the launch record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Confinement {
    /// The replica is not started without it.
    pub is_required: bool,
    /// Files and folders to read and run.
    pub read: Vec<PathBuf>,
    /// Files and folders to write.
    pub write: Vec<PathBuf>,
    /// It runs on GPUs: their drivers' files are there for it.
    pub has_gpus: bool,
}

/// Level 1 is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Confined {
    /// Landlock's version in this kernel.
    pub landlock: i32,
}

impl Confined {
    /// Whether other processes of the engine's user are out of reach of its signals.
    pub(crate) fn keeps_signals(self) -> bool {
        self.landlock >= SIGNALS_SINCE
    }
}

/// What this kernel lacks for level 1, in a clause.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Lacking(String);

impl From<&str> for Lacking {
    fn from(clause: &str) -> Self {
        Self(clause.to_owned())
    }
}

impl Confinement {
    /// That of a launch; `None` where the operator wants none, and on GPUs unless it is demanded: the rules follow
    /// the drivers' documents, and an endpoint that does not start is worse for its user than one at level 0.
    /// `own` is the engine's folder.
    pub(crate) fn of(
        config: &ProcessConfig,
        launch: &Launch,
        program: &Path,
        own: &Path,
        env: &[(String, String)],
    ) -> Option<Self> {
        let has_gpus = launch.devices.iter().any(|it| !it.kind.is_cpu());
        let is_required = match config.isolation {
            IsolationSetting::Auto if has_gpus => return None,
            IsolationSetting::Auto => false,
            IsolationSetting::Level0 => return None,
            IsolationSetting::Level1 => true,
        };
        let mut read = files::of_model(&launch.model_path);
        read.extend(files::of_program(program));
        let libraries = env.iter().find(|it| it.0 == "LD_LIBRARY_PATH").map_or("", |it| it.1.as_str());
        read.extend(libraries.split(':').map(PathBuf::from).filter(|it| it.is_absolute()));
        read.extend(passed("read_pass", &config.read_pass));
        let mut write = vec![own.to_owned()];
        write.extend(passed("write_pass", &config.write_pass));
        Some(Self { is_required, read, write, has_gpus })
    }

    /// Does `work` behind the rules: what it starts has them from its first instruction. `work` is not done
    /// if they can't be set up.
    ///
    /// The rules bind a thread and what comes of it, not the process. So a thread that ends right after `work` is
    /// enough: this process keeps its rights, and nothing has to run between fork and exec.
    pub(crate) fn behind<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<(T, Confined), Lacking> {
        thread::scope(|scope| {
            let confined = || self.enter().map(|confined| (work(), confined));
            match thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, confined) {
                Ok(thread) => thread.join().unwrap_or_else(|_panic| Err("its setting up ended early".into())),
                Err(err) => Err(lacking("a thread to set it up in", err)),
            }
        })
    }

    /// For this thread, and for good.
    fn enter(&self) -> Result<Confined, Lacking> {
        let filters = calls::filters().map_err(|err| lacking("a filter of system calls", err))?;
        let rules = files::rules(self).map_err(|err| lacking("Landlock", err))?;
        let landlock = version(&rules.restrict_self().map_err(|err| lacking("Landlock", err))?)?;
        drop_capabilities().map_err(|err| lacking("a way to give up capabilities", err))?;
        for filter in &filters {
            seccompiler::apply_filter(filter).map_err(|err| lacking("a filter of system calls", err))?;
        }
        Ok(Confined { landlock })
    }
}

/// What the operator added. Rules are for what is there: one for nothing would be missed later.
fn passed(key: &str, paths: &[PathBuf]) -> Vec<PathBuf> {
    for path in paths.iter().filter(|it| !it.exists()) {
        tracing::warn!("runtime.{key} names {}, which is not there: engines do not reach it", path.display());
    }
    paths.iter().filter_map(|it| std::path::absolute(it).ok()).collect()
}

/// What level 1 is on this host: tried out, by a thread that ends at once.
pub(crate) fn tried_out() -> Result<Confined, Lacking> {
    Confinement::default().behind(|| ()).map(|((), confined)| confined)
}

fn version(status: &RestrictionStatus) -> Result<i32, Lacking> {
    let lacks = |why: &str| Err(Lacking(format!("this kernel has no Landlock: {why}")));
    match (status.landlock, &status.ruleset) {
        (LandlockStatus::NotEnabled, _) => {
            lacks("it is not in the list that the boot parameter `lsm=` gives")
        }
        (LandlockStatus::NotImplemented, _) => lacks("it is older than 5.13 or was built without it"),
        (LandlockStatus::Available { .. }, RulesetStatus::NotEnforced) => lacks("its rules are not in force"),
        (
            LandlockStatus::Available { effective_abi, kernel_abi },
            RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced,
        ) => Ok(kernel_abi.unwrap_or(effective_abi as i32)),
    }
}

/// A server that runs as root has engines that do. Of root's rights they keep the one to read files whoever owns
/// them, as far as the rules let them reach any: models may belong to a user.
fn drop_capabilities() -> rustix::io::Result<()> {
    let kept = rustix::thread::capabilities(None)?.permitted & CapabilitySet::DAC_READ_SEARCH;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)
}

fn lacking(what: &str, err: impl std::error::Error) -> Lacking {
    Lacking(format!("this host does not give {what}: {err}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_rules_hold_for_the_thread_behind_them_and_for_no_other() {
        if !dedi_testing::host::has(tried_out().is_ok(), "Landlock and a filter of system calls") {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        fs::write(&file, "x").unwrap();
        let (inside, confined) = Confinement::default().behind(|| fs::read(&file)).unwrap();
        assert_eq!(inside.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
        assert!(confined.landlock >= 1);
        assert_eq!(fs::read(&file).unwrap(), b"x");
        let allowed = Confinement { read: vec![file.clone()], ..Confinement::default() };
        assert_eq!(allowed.behind(|| fs::read(&file)).unwrap().0.unwrap(), b"x");
    }

    #[test]
    fn replicas_on_gpus_are_confined_only_on_demand() {
        let zero = "00000000-0000-4000-8000-000000000000".parse().unwrap();
        let asked = |isolation, product: &str| {
            let kind =
                dedi_domain::DeviceKind { product: product.into(), memory_gb: 80, link: String::new() };
            let id = dedi_domain::DeviceId("0".into());
            let launch = Launch {
                replica: dedi_domain::ReplicaId::from_uuid(zero),
                nonce: dedi_domain::Nonce::from_uuid(zero),
                endpoint: dedi_domain::EndpointId::from_uuid(zero),
                attempt: 1,
                model: dedi_domain::ModelName::parse("dedi/demo").unwrap(),
                model_path: "/models/demo.gguf".into(),
                devices: vec![dedi_domain::launch::AssignedDevice { id, kind, index: 0 }],
                context_tokens: 2048,
                slots: 4,
                memory_limit_bytes: None,
                embedding: false,
            };
            let config = ProcessConfig { isolation, ..ProcessConfig::default() };
            Confinement::of(&config, &launch, Path::new("/bin/engine"), Path::new("/run/x/own"), &[])
        };
        let required = |it: Option<Confinement>| it.map(|it| it.is_required);
        assert_eq!(required(asked(IsolationSetting::Auto, "cpu")), Some(false));
        assert_eq!(required(asked(IsolationSetting::Auto, "nvidia_h100")), None);
        assert_eq!(required(asked(IsolationSetting::Level1, "nvidia_h100")), Some(true));
        assert_eq!(required(asked(IsolationSetting::Level0, "cpu")), None);
    }

    #[test]
    fn what_the_operator_passes_is_reached_as_it_was_passed() {
        if !dedi_testing::host::has(tried_out().is_ok(), "Landlock and a filter of system calls") {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (to_read, to_write) = (dir.path().join("r"), dir.path().join("w"));
        for folder in [&to_read, &to_write] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("x"), "x").unwrap();
        }
        let passed = Confinement {
            read: passed("read_pass", &[to_read.clone(), dir.path().join("absent")]),
            write: passed("write_pass", std::slice::from_ref(&to_write)),
            ..Confinement::default()
        };
        let work = || {
            let read = [&to_read, &to_write].map(|it| fs::read(it.join("x")).is_ok());
            let written = [&to_read, &to_write].map(|it| fs::write(it.join("y"), "y").is_ok());
            (read, written)
        };
        assert_eq!(passed.behind(work).unwrap().0, ([true, true], [false, true]));
    }

    #[test]
    fn root_gives_up_its_rights_behind_them() {
        if !dedi_testing::host::has(tried_out().is_ok(), "Landlock and a filter of system calls") {
            return;
        }
        let status = || fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = |text: &str| text.lines().find(|it| it.starts_with("CapEff:")).unwrap().to_owned();
        let (inside, _) = Confinement::default().behind(status).unwrap();
        let rights = u64::from_str_radix(line(&inside)["CapEff:".len()..].trim(), 16).unwrap();
        assert_eq!(rights & !CapabilitySet::DAC_READ_SEARCH.bits(), 0, "{rights:x}");
        assert!(inside.contains("Seccomp:\t2"), "{inside}");
    }
}

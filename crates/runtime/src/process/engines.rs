//! What differs from one engine program to another: its command line, and how its answers are read. An
//! adapter is data, so that one more engine is one more constructor.

use std::path::{Path, PathBuf};

use dedi_shim::mark::{self, Mark};
use dedi_shim::records::WrittenLaunch;

/// How to run one kind of engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Engine {
    program: PathBuf,
    /// Words of the command line; each is one argument, whatever is filled into it.
    args: &'static [Arg],
    /// Its health answer carries the launch's mark. One that can't is known by the socket in our folder.
    pub echoes_nonce: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arg {
    Text(&'static str),
    ModelPath,
    Socket,
    ModelName,
    ContextTokens,
    Slots,
    Threads,
    GpuLayers,
    /// For a model that makes vectors only.
    Embedding(&'static str),
}

/// Cores that feed a GPU; more of them only get in each other's way.
const GPU_FEEDERS_MAX: usize = 8;

/// More layers than any model has: all of them.
const ALL_LAYERS: &str = "999";

impl Engine {
    /// The embedded worker.
    pub(crate) fn dedi(program: PathBuf) -> Self {
        const ARGS: &[Arg] = &[
            Arg::Text("serve"),
            Arg::Text("--model"),
            Arg::ModelPath,
            Arg::Text("--socket"),
            Arg::Socket,
            Arg::Text("--model-name"),
            Arg::ModelName,
            Arg::Text("--context"),
            Arg::ContextTokens,
            Arg::Text("--slots"),
            Arg::Slots,
            Arg::Text("--threads"),
            Arg::Threads,
            Arg::Text("--gpu-layers"),
            Arg::GpuLayers,
            Arg::Embedding("--embedding"),
        ];
        Self { program, args: ARGS, echoes_nonce: true }
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// The argument vector. No shell ever reads it.
    pub(crate) fn args(&self, launch: &WrittenLaunch, socket: &str, n_cores: usize) -> Vec<String> {
        let n_gpus = launch.devices.iter().filter(|it| !it.kind.is_cpu()).count();
        let n_threads = match (n_gpus, launch.devices.len()) {
            (0, 0) => 1,
            (0, n_cpus) => n_cpus,
            (_, _) => n_cores.clamp(1, GPU_FEEDERS_MAX),
        };
        let text = |arg: &Arg| match arg {
            Arg::Text(text) | Arg::Embedding(text) => (*text).to_owned(),
            Arg::ModelPath => launch.model_path.to_string_lossy().into_owned(),
            Arg::Socket => socket.to_owned(),
            Arg::ModelName => launch.model.to_string(),
            Arg::ContextTokens => launch.context_tokens.to_string(),
            Arg::Slots => launch.slots.to_string(),
            Arg::Threads => n_threads.to_string(),
            Arg::GpuLayers => if n_gpus == 0 { "0" } else { ALL_LAYERS }.to_owned(),
        };
        let applies = |arg: &&Arg| launch.embedding || !matches!(arg, Arg::Embedding(_));
        self.args.iter().filter(applies).map(text).collect()
    }
}

/// Variables that every engine gets from the server, where they are set.
const PASSED: [&str; 7] = ["PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "RUST_LOG", "RUST_BACKTRACE"];

/// What every engine gets of the server's environment.
pub(crate) fn passed(added: &[String], read: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let names = PASSED.into_iter().chain(added.iter().map(String::as_str));
    names.filter_map(|name| Some((name.to_owned(), read(name)?))).collect()
}

/// The engine's whole environment: the few variables above, what the operator added, the launch's mark, its
/// devices, and words that keep libraries from reaching for the network.
pub(crate) fn environment(
    launch: &WrittenLaunch,
    dir: &Path,
    installation: &str,
    added: &[String],
    read: impl Fn(&str) -> Option<String>,
) -> Vec<(String, String)> {
    let mut env = passed(added, read);
    let gpus: Vec<&str> =
        launch.devices.iter().filter(|it| !it.kind.is_cpu()).map(|it| it.id.name()).collect();
    let dir = dir.to_string_lossy();
    let own = [
        (mark::NONCE_VARIABLE, launch.nonce.to_string()),
        (mark::REPLICA_VARIABLE, mark_of(launch, installation).to_string()),
        // Empty on CPU hardware: devices that were not given are not seen.
        ("CUDA_VISIBLE_DEVICES", gpus.join(",")),
        ("HOME", dir.to_string()),
        ("TMPDIR", dir.to_string()),
        ("HF_HUB_OFFLINE", "1".to_owned()),
        ("TRANSFORMERS_OFFLINE", "1".to_owned()),
    ];
    env.retain(|(name, _)| own.iter().all(|it| it.0 != name));
    env.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value)));
    env
}

/// What is known of a process's replica from its environment.
pub(crate) fn mark_of(launch: &WrittenLaunch, installation: &str) -> Mark {
    Mark { installation: installation.to_owned(), replica: launch.replica, nonce: launch.nonce }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dedi_domain::launch::AssignedDevice;
    use dedi_domain::{DeviceId, DeviceKind, EndpointId, ModelName, Nonce, ReplicaId};

    fn launch(product: &str, n: u32) -> WrittenLaunch {
        let kind = DeviceKind { product: product.into(), memory_gb: 80, link: String::new() };
        let zero = "00000000-0000-4000-8000-000000000000".parse().unwrap();
        WrittenLaunch {
            replica: ReplicaId::from_uuid(zero),
            nonce: Nonce::from_uuid(zero),
            endpoint: EndpointId::from_uuid(zero),
            attempt: 1,
            model: ModelName::parse("dedi/demo").unwrap(),
            model_path: "/models/it's; rm -rf $HOME.gguf".into(),
            devices: (0..n)
                .map(|index| AssignedDevice {
                    id: DeviceId::local(format!("GPU-{index}")),
                    kind: kind.clone(),
                    index,
                })
                .collect(),
            context_tokens: 2048,
            slots: 4,
            memory_limit_bytes: None,
            embedding: false,
        }
    }

    #[test]
    fn an_odd_path_stays_one_argument() {
        let args = Engine::dedi("dedi-engine".into()).args(&launch("cpu", 2), "engine.sock", 64);
        assert_eq!(args[2], "/models/it's; rm -rf $HOME.gguf");
        assert_eq!(
            args[3..].join(" "),
            "--socket engine.sock --model-name dedi/demo --context 2048 --slots 4 --threads 2 --gpu-layers 0"
        );
    }

    #[test]
    fn a_model_that_makes_vectors_is_served_as_one() {
        let launch = WrittenLaunch { embedding: true, ..launch("cpu", 1) };
        let args = Engine::dedi("dedi-engine".into()).args(&launch, "engine.sock", 64);
        assert_eq!(args.last().map(String::as_str), Some("--embedding"));
    }

    #[test]
    fn a_gpu_replica_sees_its_devices_and_a_cpu_replica_none() {
        let value = |launch: &WrittenLaunch, name: &str| {
            let env = environment(launch, Path::new("/run/x"), "i", &["CUDA_VISIBLE_DEVICES".into()], |_| {
                Some("stranger".into())
            });
            let mut found = env.into_iter().filter(|it| it.0 == name).map(|it| it.1);
            (found.next().unwrap(), found.next())
        };
        assert_eq!(value(&launch("nvidia_h100", 2), "CUDA_VISIBLE_DEVICES"), ("GPU-0,GPU-1".into(), None));
        assert_eq!(value(&launch("cpu", 2), "CUDA_VISIBLE_DEVICES"), (String::new(), None));
    }
}

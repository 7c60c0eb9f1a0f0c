//! A launch's command line and environment, as its engine's spec wants them.

use std::path::Path;

use dedi_domain::engine::{EngineSpec, Placeholder};
use dedi_shim::mark::{self, Mark};
use dedi_shim::records::{SOCKET, WrittenLaunch};

/// Cores that feed a GPU; more of them only get in each other's way.
const GPU_FEEDERS_MAX: usize = 8;

/// More layers than any model has: all of them.
const ALL_LAYERS: &str = "999";

/// What a launch's templates are filled with.
pub(crate) struct Values<'a> {
    pub(crate) launch: &'a WrittenLaunch,
    /// The folder that the engine works in.
    pub(crate) own: &'a Path,
    /// The TCP port that was chosen, if the engine listens on one.
    pub(crate) port: Option<u16>,
    /// Cores of the host.
    pub(crate) n_cores: usize,
}

impl Values<'_> {
    /// The engine's arguments. No shell ever reads them.
    pub(crate) fn args(&self, spec: &EngineSpec) -> Vec<String> {
        let embedding = spec.embedding_args.iter().filter(|_| self.launch.embedding);
        spec.args.iter().chain(embedding).map(|it| it.fill(|place| self.of(place))).collect()
    }

    fn of(&self, place: Placeholder) -> String {
        let launch = self.launch;
        let n_gpus = launch.devices.iter().filter(|it| !it.kind.is_cpu()).count();
        match place {
            Placeholder::Model => launch.model_path.to_string_lossy().into_owned(),
            Placeholder::ModelName => launch.model.to_string(),
            Placeholder::Socket => SOCKET.to_owned(),
            // A spec that names one is of an engine that was given one.
            Placeholder::Port => self.port.unwrap_or(0).to_string(),
            Placeholder::Context => launch.context_tokens.to_string(),
            Placeholder::ContextTotal => launch.context_tokens.saturating_mul(launch.slots).to_string(),
            Placeholder::Slots => launch.slots.to_string(),
            Placeholder::Threads => {
                let n_threads = match (n_gpus, launch.devices.len()) {
                    (0, 0) => 1,
                    (0, n_cpus) => n_cpus,
                    (_, _) => self.n_cores.clamp(1, GPU_FEEDERS_MAX),
                };
                n_threads.to_string()
            }
            Placeholder::GpuLayers => if n_gpus == 0 { "0" } else { ALL_LAYERS }.to_owned(),
            Placeholder::Gpus => n_gpus.to_string(),
            Placeholder::Folder => self.own.to_string_lossy().into_owned(),
        }
    }

    /// The engine's whole environment: the few variables of the server's that all get, what the operator added, what
    /// its spec wants, the launch's mark, its devices, and words that keep libraries from reaching for the network.
    pub(crate) fn environment(
        &self,
        spec: &EngineSpec,
        installation: &str,
        added: &[String],
        read: impl Fn(&str) -> Option<String>,
    ) -> Vec<(String, String)> {
        let mut env = passed(added, read);
        let filled = spec.environment.iter();
        let filled: Vec<(String, String)> =
            filled.map(|(name, value)| (name.clone(), value.fill(|place| self.of(place)))).collect();
        let gpus: Vec<&str> =
            self.launch.devices.iter().filter(|it| !it.kind.is_cpu()).map(|it| it.id.name()).collect();
        let own = self.own.to_string_lossy();
        let fixed = [
            (mark::NONCE_VARIABLE, self.launch.nonce.to_string()),
            (mark::REPLICA_VARIABLE, mark_of(self.launch, installation).to_string()),
            // Empty on CPU hardware: devices that were not given are not seen.
            ("CUDA_VISIBLE_DEVICES", gpus.join(",")),
            ("HOME", own.to_string()),
            ("TMPDIR", own.to_string()),
            ("HF_HUB_OFFLINE", "1".to_owned()),
            ("TRANSFORMERS_OFFLINE", "1".to_owned()),
        ];
        let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value));
        // Of one name, the last one holds.
        for (name, value) in filled.into_iter().chain(fixed) {
            env.retain(|it| it.0 != name);
            env.push((name, value));
        }
        env
    }
}

/// Variables that every engine gets from the server, where they are set.
const PASSED: [&str; 7] = ["PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "RUST_LOG", "RUST_BACKTRACE"];

/// What every engine gets of the server's environment.
pub(crate) fn passed(added: &[String], read: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let names = PASSED.into_iter().chain(added.iter().map(String::as_str));
    names.filter_map(|name| Some((name.to_owned(), read(name)?))).collect()
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
            engine: Default::default(),
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

    fn values<'a>(launch: &'a WrittenLaunch, own: &'a Path) -> Values<'a> {
        Values { launch, own, port: None, n_cores: 64 }
    }

    fn args(launch: &WrittenLaunch) -> Vec<String> {
        values(launch, Path::new("/run/x")).args(&EngineSpec::embedded("dedi-engine".into()))
    }

    #[test]
    fn an_odd_path_stays_one_argument() {
        let args = args(&launch("cpu", 2));
        assert_eq!(args[2], "/models/it's; rm -rf $HOME.gguf");
        assert_eq!(
            args[3..].join(" "),
            "--socket engine.sock --model-name dedi/demo --context 2048 --slots 4 --threads 2 --gpu-layers 0"
        );
    }

    #[test]
    fn a_model_that_makes_vectors_is_served_as_one() {
        let args = args(&WrittenLaunch { embedding: true, ..launch("cpu", 1) });
        assert_eq!(args.last().map(String::as_str), Some("--embedding"));
    }

    #[test]
    fn a_gpu_replica_sees_its_devices_and_a_cpu_replica_none() {
        let value = |launch: &WrittenLaunch, name: &str| {
            let spec = EngineSpec::embedded("dedi-engine".into());
            let stranger = |_: &str| Some("stranger".to_owned());
            let added = ["CUDA_VISIBLE_DEVICES".to_owned()];
            let env = values(launch, Path::new("/run/x")).environment(&spec, "i", &added, stranger);
            let mut found = env.into_iter().filter(|it| it.0 == name).map(|it| it.1);
            (found.next().unwrap(), found.next())
        };
        assert_eq!(value(&launch("nvidia_h100", 2), "CUDA_VISIBLE_DEVICES"), ("GPU-0,GPU-1".into(), None));
        assert_eq!(value(&launch("cpu", 2), "CUDA_VISIBLE_DEVICES"), (String::new(), None));
    }

    #[test]
    fn spec_adds_to_the_environment_and_does_not_speak_for_the_launch() {
        let mut spec = EngineSpec::embedded("x".into());
        let value = |text: &str| dedi_domain::engine::Template::parse(text).unwrap();
        spec.environment = vec![
            ("X_PORT".to_owned(), value("{port}")),
            ("X_CACHE".to_owned(), value("{folder}/cache")),
            ("LANG".to_owned(), value("C")),
            ("DEDI_NONCE".to_owned(), value("another")),
        ];
        let launch = launch("cpu", 1);
        let values = Values { port: Some(7), ..values(&launch, Path::new("/run/x")) };
        let env = values.environment(&spec, "i", &[], |_| Some("server's".to_owned()));
        let of = |name: &str| env.iter().find(|it| it.0 == name).map(|it| it.1.as_str());
        assert_eq!((of("X_PORT"), of("X_CACHE"), of("LANG")), (Some("7"), Some("/run/x/cache"), Some("C")));
        assert_eq!(of("DEDI_NONCE"), Some(launch.nonce.to_string().as_str()));
    }
}

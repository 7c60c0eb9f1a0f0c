//! What one engine may reach at isolation level 1, from its launch and the operator's settings.

use std::fs;
use std::path::{Path, PathBuf};

use dedi_domain::EngineSpec;
use dedi_shim::confine::Confinement;
use dedi_shim::records::WrittenLaunch;

use super::config::{IsolationSetting, ProcessConfig};

/// That of a launch; `None` where the operator wants none, and on GPUs unless it is demanded: the rules follow
/// the drivers' documents, and an endpoint that does not start is worse for its user than one at level 0.
/// `own` is the engine's folder, `port` the one that it listens on.
pub(crate) fn of(
    config: &ProcessConfig,
    launch: &WrittenLaunch,
    spec: &EngineSpec,
    (own, port): (&Path, Option<u16>),
    env: &[(String, String)],
) -> Option<Confinement> {
    let has_gpus = launch.devices.iter().any(|it| !it.kind.is_cpu());
    let is_required = match config.isolation {
        IsolationSetting::Auto if has_gpus => return None,
        IsolationSetting::Auto => false,
        IsolationSetting::Level0 => return None,
        IsolationSetting::Level1 => true,
    };
    let mut read = of_model(&launch.model_path);
    read.extend(of_program(&spec.program));
    let libraries = env.iter().find(|it| it.0 == "LD_LIBRARY_PATH").map_or("", |it| it.1.as_str());
    read.extend(libraries.split(':').map(PathBuf::from).filter(|it| it.is_absolute()));
    read.extend(passed("read_pass", &config.read_pass));
    let mut write = vec![own.to_owned()];
    write.extend(passed("write_pass", &config.write_pass));
    let needs = &spec.isolation;
    read.extend(needs.read.iter().cloned());
    write.extend(needs.write.iter().cloned());
    Some(Confinement {
        is_required,
        read,
        write,
        has_gpus,
        tcp_port: port,
        shares_memory: needs.shared_memory,
    })
}

/// What the operator added. Rules are for what is there: one for nothing would be missed later.
fn passed(key: &str, paths: &[PathBuf]) -> Vec<PathBuf> {
    for path in paths.iter().filter(|it| !it.exists()) {
        tracing::warn!("runtime.{key} names {}, which is not there: engines do not reach it", path.display());
    }
    paths.iter().filter_map(|it| std::path::absolute(it).ok()).collect()
}

/// A model's folder, and where links in it lead to. A file that lies directly in the root has no folder of its own.
fn of_model(path: &Path) -> Vec<PathBuf> {
    let Ok(real) = path.canonicalize() else { return Vec::new() };
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    let folder = folder.and_then(|it| it.canonicalize().ok()).filter(|it| it.parent().is_some());
    let Some(folder) = folder else { return vec![real] };
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let linked = entries
        .filter(|it| it.file_type().is_ok_and(|it| it.is_symlink()))
        .filter_map(|it| it.path().canonicalize().ok());
    let mut found: Vec<PathBuf> = linked.chain([real]).filter(|it| !it.starts_with(&folder)).collect();
    found.push(folder);
    found
}

/// A program and the libraries beside it. Not its folder: that may be somebody's home.
fn of_program(program: &Path) -> Vec<PathBuf> {
    let Ok(real) = program.canonicalize() else { return Vec::new() };
    let is_library = |name: &str| name.ends_with(".so") || name.contains(".so.");
    let mut found: Vec<PathBuf> = real
        .parent()
        .and_then(|it| fs::read_dir(it).ok())
        .into_iter()
        .flatten()
        .flatten()
        .filter(|it| it.file_name().to_str().is_some_and(is_library))
        .map(|it| it.path())
        .collect();
    found.push(real);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    use dedi_shim::confine::tried_out;

    #[test]
    fn a_model_is_its_folder_and_what_is_linked_into_it() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        let (folder, other) = (root.join("org/name"), root.join("blobs"));
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(&other).unwrap();
        fs::write(folder.join("a.gguf"), "").unwrap();
        fs::write(other.join("b"), "").unwrap();
        symlink(other.join("b"), folder.join("b.gguf")).unwrap();
        assert_eq!(of_model(&folder.join("a.gguf")), [other.join("b"), folder.clone()]);
        assert_eq!(of_model(&folder), [other.join("b"), folder]);
        assert!(of_model(Path::new("/nowhere/model.gguf")).is_empty());
    }

    #[test]
    fn a_program_does_not_open_the_folder_it_lies_in() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        for name in ["engine", "libx.so.1", "diary.txt"] {
            fs::write(root.join(name), "").unwrap();
        }
        assert_eq!(of_program(&root.join("engine")), [root.join("libx.so.1"), root.join("engine")]);
    }

    #[test]
    fn replicas_on_gpus_are_confined_only_on_demand() {
        let zero = "00000000-0000-4000-8000-000000000000".parse().unwrap();
        let asked = |isolation, product: &str| {
            let kind =
                dedi_domain::DeviceKind { product: product.into(), memory_gb: 80, link: String::new() };
            let id = dedi_domain::DeviceId::local("0");
            let launch = WrittenLaunch {
                replica: dedi_domain::ReplicaId::from_uuid(zero),
                nonce: dedi_domain::Nonce::from_uuid(zero),
                endpoint: dedi_domain::EndpointId::from_uuid(zero),
                attempt: 1,
                engine: Default::default(),
                model: dedi_domain::ModelName::parse("dedi/demo").unwrap(),
                model_path: "/models/demo.gguf".into(),
                devices: vec![dedi_domain::launch::AssignedDevice { id, kind, index: 0 }],
                context_tokens: 2048,
                slots: 4,
                memory_limit_bytes: None,
                embedding: false,
            };
            let config = ProcessConfig { isolation, ..ProcessConfig::default() };
            let spec = EngineSpec::embedded("/bin/engine".into());
            of(&config, &launch, &spec, (Path::new("/run/x/own"), None), &[])
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
}

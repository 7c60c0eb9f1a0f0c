//! What this build of the engine can compute on: the back-ends it was compiled with, and the devices that each sees
//! now. A supervisor asks before it gives a GPU away.

use std::fmt;

use llama_cpp_2::{LlamaBackendDeviceType, list_llama_ggml_backend_devices};
use serde::Serialize;

use crate::memory::readable;

/// The GPU back-ends that a build may have, by the name of the cargo feature and by the library's own.
const GPU_BACKENDS: [(&str, &str, bool); 2] =
    [("cuda", "CUDA", cfg!(feature = "cuda")), ("vulkan", "Vulkan", cfg!(feature = "vulkan"))];

/// All back-ends of this build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backends {
    /// The CPU's first, then those for GPUs.
    pub backends: Vec<Backend>,
}

/// One back-end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backend {
    /// `cpu`, `cuda`, `vulkan`: what `make engine GPU=…` calls it.
    pub name: String,
    /// Whether its devices are GPUs.
    pub is_gpu: bool,
    /// The devices it sees now.
    pub devices: Vec<Device>,
}

/// One device as a back-end sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Device {
    /// The library's name for it, such as `Vulkan0`.
    pub name: String,
    /// The driver's.
    pub description: String,
    /// All of its memory.
    pub memory_total_bytes: u64,
    /// What of it is free now.
    pub memory_free_bytes: u64,
}

impl Backends {
    /// Asks the library, which asks the drivers; the first time takes them up to some seconds.
    #[must_use]
    pub fn now() -> Self {
        let seen = list_llama_ggml_backend_devices();
        let of = |is_wanted: &dyn Fn(&str, LlamaBackendDeviceType) -> bool| {
            let wanted = seen.iter().filter(|it| is_wanted(&it.backend, it.device_type));
            let device = |it: &llama_cpp_2::LlamaBackendDevice| Device {
                name: it.name.clone(),
                description: it.description.trim().to_owned(),
                memory_total_bytes: it.memory_total as u64,
                memory_free_bytes: it.memory_free as u64,
            };
            wanted.map(device).collect()
        };
        let is_own = |backend: &str| GPU_BACKENDS.iter().any(|it| it.1.eq_ignore_ascii_case(backend));
        let cpu = Backend {
            name: "cpu".to_owned(),
            is_gpu: false,
            devices: of(&|backend, kind| kind == LlamaBackendDeviceType::Cpu && !is_own(backend)),
        };
        let gpus = GPU_BACKENDS.iter().filter(|it| it.2).map(|(name, library, _)| Backend {
            name: (*name).to_owned(),
            is_gpu: true,
            // Whatever kind: what such a back-end lists, layers can be put on.
            devices: of(&|backend, _| backend.eq_ignore_ascii_case(library)),
        });
        Self { backends: std::iter::once(cpu).chain(gpus).collect() }
    }

    /// Why no layer can be put on a GPU, as a clause; nothing where one can.
    #[must_use]
    pub fn lacks_gpu(&self) -> Option<String> {
        let gpus: Vec<&Backend> = self.backends.iter().filter(|it| it.is_gpu).collect();
        if gpus.iter().any(|it| !it.devices.is_empty()) {
            return None;
        }
        let names: Vec<&str> = gpus.iter().map(|it| it.name.as_str()).collect();
        Some(match names.join(" and ") {
            none if none.is_empty() => "this build of dedi-engine has no GPU back-end: build one with \
                                        `make engine GPU=cuda` or `make engine GPU=vulkan`"
                .to_owned(),
            names => format!("the back-end of this build, {names}, sees no GPU: check its driver"),
        })
    }

    /// For programs, on one line.
    #[must_use]
    pub fn json(&self) -> String {
        // Texts and numbers only: this doesn't fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for backend in &self.backends {
            let Backend { name, devices, .. } = backend;
            if devices.is_empty() {
                writeln!(f, "{name}: no device")?;
            }
            for Device { name: device, description, memory_total_bytes, memory_free_bytes } in devices {
                let (total, free) = (readable(*memory_total_bytes), readable(*memory_free_bytes));
                writeln!(f, "{name}: {device}, {description}, {free} of {total} free")?;
            }
        }
        match self.lacks_gpu() {
            Some(why) => write!(f, "GPUs can't be used: {why}"),
            None => write!(f, "GPUs can be used."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu_backend(name: &str, n_devices: usize) -> Backend {
        let device = Device {
            name: "X0".to_owned(),
            description: "a GPU".to_owned(),
            memory_total_bytes: 80_000_000_000,
            memory_free_bytes: 79_000_000_000,
        };
        Backend { name: name.to_owned(), is_gpu: true, devices: vec![device; n_devices] }
    }

    #[test]
    fn backends_without_a_gpu_say_what_to_build_or_check() {
        let cpu = Backend { name: "cpu".to_owned(), is_gpu: false, devices: Vec::new() };
        let with = |more: Vec<Backend>| Backends { backends: [vec![cpu.clone()], more].concat() };
        let none = with(Vec::new());
        assert!(none.lacks_gpu().unwrap().contains("`make engine GPU=cuda`"));
        let blind = with(vec![gpu_backend("cuda", 0)]);
        assert_eq!(
            blind.lacks_gpu().unwrap(),
            "the back-end of this build, cuda, sees no GPU: check its driver"
        );
        assert_eq!(with(vec![gpu_backend("cuda", 0), gpu_backend("vulkan", 1)]).lacks_gpu(), None);
        assert_eq!(
            with(vec![gpu_backend("vulkan", 1)]).to_string(),
            "cpu: no device\nvulkan: X0, a GPU, 79.0 GB of 80.0 GB free\nGPUs can be used."
        );
    }

    #[test]
    fn backends_of_this_build_include_the_cpu() {
        let now = Backends::now();
        assert_eq!((now.backends[0].name.as_str(), now.backends[0].is_gpu), ("cpu", false));
        assert_eq!(now.backends[0].devices.len(), 1, "{now}");
        assert_eq!(now.backends.len() > 1, cfg!(feature = "gpu"));
    }
}

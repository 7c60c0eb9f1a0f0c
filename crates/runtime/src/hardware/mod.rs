//! The host's devices: cores through the operating system, GPUs through NVML. Measures; decides nothing.

mod cpu;
mod engine;
mod names;
mod nvml;
mod traces;

use std::io;
use std::path::PathBuf;

use dedi_domain::launch::AssignedDevice;
use dedi_domain::{DeviceId, Inventory, Setting, check_settings};
use dedi_shim::identity::ProcessId;
use serde::{Deserialize, Serialize};

/// What an operator can say about devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, documented::DocumentedFields)]
#[serde(deny_unknown_fields, default)]
pub struct HardwareSettings {
    /// Cores on offer as devices; absent is all that this process may use, 0 is none, 4096 the most.
    pub cpu_devices: Option<u32>,
    /// Memory in GiB that goes with one core; absent is the largest power of two that all can have.
    pub cpu_memory_gb: Option<u32>,
    /// Whether GPUs are looked for.
    pub gpus: bool,
    /// NVML's library; empty looks for `libnvidia-ml.so.1` where libraries are.
    pub nvml_library: PathBuf,
}

impl Default for HardwareSettings {
    fn default() -> Self {
        Self { cpu_devices: None, cpu_memory_gb: None, gpus: true, nvml_library: PathBuf::new() }
    }
}

impl HardwareSettings {
    /// What is wrong with the values, as a sentence.
    pub(crate) fn check(&self) -> Result<(), String> {
        let given = [
            self.cpu_devices.map(|it| ("cpu_devices", u64::from(it), 0..=4_096)),
            self.cpu_memory_gb.map(|it| ("cpu_memory_gb", u64::from(it), 1..=1_048_576)),
        ];
        let given: Vec<Setting> = given.into_iter().flatten().collect();
        check_settings("runtime.hardware", &given, &[])?;
        if self.cpu_devices == Some(0) && !self.gpus {
            return Err(
                "runtime.hardware.cpu_devices = 0 and runtime.hardware.gpus = false leave no device that a replica \
                 could run on: allow one of the two"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

/// Our live engines, as far as devices care.
#[derive(Debug, Default)]
pub(crate) struct Engines {
    /// Their processes, children included.
    pub(crate) processes: Vec<ProcessId>,
    /// Engines that are recorded and run no more: what a device still has of them is left over.
    pub(crate) former: Vec<ProcessId>,
    /// What they were given.
    pub(crate) devices: Vec<AssignedDevice>,
    /// The GPUs that those had which run no more.
    pub(crate) former_devices: Vec<DeviceId>,
}

impl Engines {
    fn pids(&self) -> Vec<i32> {
        self.processes.iter().map(|it| it.pid).collect()
    }
}

/// The host's devices, looked at anew each time.
#[derive(Debug)]
pub(crate) struct Hardware {
    settings: HardwareSettings,
    gpus: nvml::Gpus,
    engine: engine::Engine,
}

impl Hardware {
    /// `program` is the engine, which runs with that `environment`.
    pub(crate) fn new(
        settings: HardwareSettings,
        program: PathBuf,
        environment: Vec<(String, String)>,
    ) -> Self {
        let gpus = nvml::Gpus::new(settings.nvml_library.clone());
        Self { settings, gpus, engine: engine::Engine::new(program, environment) }
    }

    /// All devices. What our engines use is not foreign.
    pub(crate) fn inventory(&self, ours: &Engines) -> io::Result<Inventory> {
        let mut devices = cpu::devices(&self.settings, &ours.pids())?;
        let mut troubles = Vec::new();
        if self.settings.gpus {
            let (mut gpus, found) = self.gpus.devices(ours);
            troubles = found;
            // Hosts without GPUs need no answer.
            let bar = if gpus.is_empty() { None } else { self.engine.bar(gpus.len()) };
            for gpu in &mut gpus {
                gpu.barred = gpu.barred.take().or_else(|| bar.clone());
            }
            devices.extend(gpus);
        }
        devices.sort_by(|a, b| (&a.kind, a.index).cmp(&(&b.kind, b.index)));
        Ok(Inventory { devices, troubles })
    }
}

//! GPUs as the driver shows them. Without a driver there are none, which is no error.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use dedi_domain::hardware::Health;
use dedi_domain::{Device, DeviceId};
use nvml_wrapper::Nvml;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;

use super::cpu::process_label;
use super::names::kind_of;
use crate::process::locked;

/// How long a library that could not be loaded is left alone.
const RETRY_DELAY: Duration = Duration::from_secs(60);

/// Used memory that no process explains and nobody can be blamed for: the driver's own.
const UNEXPLAINED_BYTES: u64 = 512 << 20;

/// The driver, opened when it is first asked.
#[derive(Debug)]
pub(super) struct Gpus {
    library: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    nvml: Option<Nvml>,
    tried_at: Option<Instant>,
    /// By the driver's index, as last seen whole: a lost device can't say which one it is.
    known: BTreeMap<u32, Device>,
}

impl Gpus {
    pub(super) fn new(library: PathBuf) -> Self {
        Self { library, state: Mutex::default() }
    }

    /// All GPUs. Those that answer with a fault are listed as faulty.
    pub(super) fn devices(&self, ours: &[i32]) -> Vec<Device> {
        let mut state = locked(&self.state);
        let State { nvml, tried_at, known } = &mut *state;
        if nvml.is_none() && tried_at.is_none_or(|it| it.elapsed() >= RETRY_DELAY) {
            *tried_at = Some(Instant::now());
            match self.open() {
                Ok(opened) => *nvml = Some(opened),
                Err(err) => tracing::debug!("no GPUs: NVML is not there: {err}"),
            }
        }
        let Some(nvml) = nvml else { return Vec::new() };
        let mut devices = match nvml.device_count() {
            Ok(n_devices) => (0..n_devices).filter_map(|at| look(nvml, at, ours, known)).collect(),
            Err(err) => {
                tracing::warn!("the GPU driver does not answer: {err}");
                known.values().map(|it| faulty(it, &err)).collect::<Vec<_>>()
            }
        };
        number_by_kind(&mut devices);
        devices
    }

    fn open(&self) -> Result<Nvml, NvmlError> {
        match crate::process::given(&self.library) {
            Some(path) => Nvml::builder().lib_path(path.as_os_str()).init(),
            // The name that a driver's installation has; the other one comes with development files.
            None => Nvml::builder().lib_path("libnvidia-ml.so.1".as_ref()).init(),
        }
    }
}

fn look(nvml: &Nvml, at: u32, ours: &[i32], known: &mut BTreeMap<u32, Device>) -> Option<Device> {
    match measure(nvml, at, ours) {
        Ok(device) => {
            known.insert(at, device.clone());
            Some(device)
        }
        Err(err) => match known.get(&at) {
            Some(last) => Some(faulty(last, &err)),
            None => {
                tracing::warn!("GPU {at} does not answer and has never been seen: {err}");
                None
            }
        },
    }
}

fn faulty(last: &Device, err: &NvmlError) -> Device {
    Device { health: Health::Faulty(err.to_string()), ..last.clone() }
}

fn measure(nvml: &Nvml, at: u32, ours: &[i32]) -> Result<Device, NvmlError> {
    let gpu = nvml.device_by_index(at)?;
    let memory = gpu.memory_info()?;
    let processes = gpu.running_compute_processes()?;
    let mut strangers: Vec<(u64, u32)> = Vec::new();
    let mut our_bytes = 0;
    let mut has_ours = false;
    for process in processes {
        let bytes = match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => bytes,
            UsedGpuMemory::Unavailable => 0,
        };
        if i32::try_from(process.pid).is_ok_and(|it| ours.contains(&it)) {
            has_ours = true;
            our_bytes += bytes;
        } else {
            strangers.push((bytes, process.pid));
        }
    }
    strangers.sort_unstable_by(|a, b| b.cmp(a));
    let foreign_bytes: u64 = strangers.iter().map(|it| it.0).sum();
    let unexplained = memory.used.saturating_sub(our_bytes).saturating_sub(foreign_bytes);
    // A device cut into instances reports none of its parts' use as its own.
    let is_cut = gpu.mig_mode().is_ok_and(|it| it.current == 1);
    let health = if is_cut {
        Health::Faulty("it is divided by MIG, which is not supported".to_owned())
    } else {
        Health::Healthy
    };
    Ok(Device {
        id: DeviceId(gpu.uuid()?),
        kind: kind_of(&gpu.name()?, memory.total),
        index: at,
        health,
        memory_total_bytes: memory.total.saturating_sub(memory.reserved),
        foreign_bytes,
        foreign_processes: strangers
            .iter()
            .map(|(_, pid)| process_label(i32::try_from(*pid).unwrap_or(0)))
            .collect(),
        leftover_bytes: if has_ours || unexplained <= UNEXPLAINED_BYTES { 0 } else { unexplained },
    })
}

/// The driver counts all GPUs in one row; a kind's devices are counted by themselves.
fn number_by_kind(devices: &mut [Device]) {
    let mut counts = BTreeMap::new();
    for device in devices {
        let count = counts.entry(device.kind.clone()).or_insert(0_u32);
        device.index = *count;
        *count += 1;
    }
}

//! GPUs as the driver shows them. Without a driver there are none, which is no error.

mod faults;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use dedi_domain::hardware::Health;
use dedi_domain::{Device, DeviceId};
use nvml_wrapper::Nvml;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;

use self::faults::Faults;
use super::Engines;
use super::cpu::process_label;
use super::names::kind_of;
use crate::process::locked;

/// How long a library that could not be loaded is left alone.
const RETRY_DELAY: Duration = Duration::from_secs(60);

/// Used memory that no process explains and nobody can be blamed for: the driver's own.
const UNEXPLAINED_BYTES: u64 = 512 << 20;

/// An open driver and what it has told of faults. It stays open for good: what it tells must outlive a look.
#[derive(Debug)]
struct Driver {
    nvml: &'static Nvml,
    faults: Faults,
}

/// The driver, opened when it is first asked.
#[derive(Debug)]
pub(super) struct Gpus {
    library: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    driver: Option<Driver>,
    tried_at: Option<Instant>,
    /// Why it is not open.
    closed: String,
    /// By the driver's index, as last seen whole: a lost device can't say which one it is.
    known: BTreeMap<u32, Device>,
    /// What was wrong at the last look, which is logged when it is new.
    troubles: Vec<String>,
}

impl Gpus {
    pub(super) fn new(library: PathBuf) -> Self {
        Self { library, state: Mutex::default() }
    }

    /// All GPUs. Those that answer with a fault are listed as faulty. Where the driver can't be asked, as after
    /// its files were replaced under it, those that are known or that our engines have are still there.
    pub(super) fn devices(&self, ours: &Engines) -> Vec<Device> {
        let mut state = locked(&self.state);
        let State { driver, tried_at, closed, known, troubles } = &mut *state;
        if driver.is_none() && tried_at.is_none_or(|it| it.elapsed() >= RETRY_DELAY) {
            *tried_at = Some(Instant::now());
            match self.open() {
                Ok(opened) => {
                    let nvml: &'static Nvml = Box::leak(Box::new(opened));
                    *driver = Some(Driver { nvml, faults: Faults::watch(nvml) });
                }
                Err(err) => {
                    *closed = format!("the GPU driver does not start: {err}");
                    if is_absence(&err) {
                        tracing::debug!("no GPUs: {closed}");
                    } else {
                        tracing::warn!("{closed}");
                    }
                }
            }
        }
        let mut devices = match driver {
            None => held(ours, closed),
            Some(Driver { nvml, faults }) => {
                faults.listen();
                let mut now = Vec::new();
                let mut devices: Vec<Device> = match nvml.device_count() {
                    Ok(n_devices) => {
                        (0..n_devices).filter_map(|at| look(nvml, at, &ours.pids, known, &mut now)).collect()
                    }
                    Err(err) => {
                        now.push(format!("the GPU driver does not answer: {err}"));
                        known.values().map(|it| troubled(it, &err)).collect()
                    }
                };
                for trouble in now.iter().filter(|it| !troubles.contains(it)) {
                    tracing::warn!("{trouble}");
                }
                *troubles = now;
                devices.iter_mut().for_each(|it| faults.judge(it));
                devices
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

fn look(
    nvml: &Nvml,
    at: u32,
    ours: &[i32],
    known: &mut BTreeMap<u32, Device>,
    troubles: &mut Vec<String>,
) -> Option<Device> {
    match measure(nvml, at, ours) {
        Ok(device) => {
            known.insert(at, device.clone());
            Some(device)
        }
        Err(err) => {
            let last = known.get(&at);
            let name = last.map_or_else(|| "which has never been seen".to_owned(), |it| it.id.to_string());
            troubles.push(format!("GPU {at}, {name}, does not answer: {err}"));
            last.map(|it| troubled(it, &err))
        }
    }
}

/// A device that was well before the driver said this.
fn troubled(last: &Device, err: &NvmlError) -> Device {
    let health = if is_the_drivers(err) { Health::Unknown } else { Health::Faulty };
    Device { health: health(err.to_string()), ..last.clone() }
}

/// Whether there is no driver at all, which is how most hosts are.
fn is_absence(err: &NvmlError) -> bool {
    matches!(err, NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound | NvmlError::DriverNotLoaded)
}

/// Whether an error says nothing of the device that was asked about.
fn is_the_drivers(err: &NvmlError) -> bool {
    is_absence(err)
        || matches!(
            err,
            NvmlError::LibRmVersionMismatch
                | NvmlError::Uninitialized
                | NvmlError::FunctionNotFound
                | NvmlError::NoPermission
                | NvmlError::Timeout
                | NvmlError::OperatingSystem
        )
}

/// The GPUs that our engines have, when nobody else can tell which there are.
fn held(ours: &Engines, why: &str) -> Vec<Device> {
    let gpus = ours.devices.iter().filter(|it| !it.kind.is_cpu());
    gpus.map(|it| Device {
        id: it.id.clone(),
        kind: it.kind.clone(),
        index: it.index,
        health: Health::Unknown(why.to_owned()),
        memory_total_bytes: u64::from(it.kind.memory_gb) << 30,
        foreign_bytes: 0,
        foreign_processes: Vec::new(),
        leftover_bytes: 0,
    })
    .collect()
}

fn measure(nvml: &Nvml, at: u32, ours: &[i32]) -> Result<Device, NvmlError> {
    let gpu = nvml.device_by_index(at)?;
    let memory = gpu.memory_info()?;
    let mut processes = gpu.running_compute_processes()?;
    // Older drivers and some products can't tell who draws.
    processes.extend(gpu.running_graphics_processes().unwrap_or_default());
    let usage = account(memory.used, &processes, ours);
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
        foreign_bytes: usage.foreign_bytes,
        foreign_processes: usage.strangers.into_iter().map(process_label).collect(),
        leftover_bytes: usage.leftover_bytes,
    })
}

/// Who has a device's memory.
#[derive(Debug, Default, PartialEq, Eq)]
struct Use {
    foreign_bytes: u64,
    /// By what they use, most first.
    strangers: Vec<i32>,
    leftover_bytes: u64,
}

/// Divides the used bytes of a device among us, strangers and the dead.
fn account(used_bytes: u64, processes: &[ProcessInfo], ours: &[i32]) -> Use {
    // One that computes and draws is listed twice, each time with all it uses.
    let mut by_pid: BTreeMap<i32, Option<u64>> = BTreeMap::new();
    for process in processes {
        let bytes = match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        };
        let known = by_pid.entry(i32::try_from(process.pid).unwrap_or(0)).or_default();
        *known = (*known).max(bytes);
    }
    let named: u64 = by_pid.values().flatten().sum();
    let unexplained = used_bytes.saturating_sub(named);
    let (ours, strangers): (Vec<_>, Vec<_>) = by_pid.into_iter().partition(|it| ours.contains(&it.0));
    let foreign_bytes: u64 = strangers.iter().filter_map(|it| it.1).sum();
    let is_silent = strangers.iter().any(|it| it.1.is_none());
    let mut strangers: Vec<_> = strangers.into_iter().map(|(pid, bytes)| (bytes, pid)).collect();
    strangers.sort_unstable_by(|a, b| b.cmp(a));
    let (foreign_bytes, leftover_bytes) = if !ours.is_empty() {
        // What a context of ours costs beyond what is listed for it.
        (foreign_bytes, 0)
    } else if is_silent || unexplained <= UNEXPLAINED_BYTES {
        (foreign_bytes + unexplained, 0)
    } else {
        (foreign_bytes, unexplained)
    };
    Use { foreign_bytes, strangers: strangers.into_iter().map(|it| it.1).collect(), leftover_bytes }
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

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn process(pid: u32, bytes: Option<u64>) -> ProcessInfo {
        let used_gpu_memory = bytes.map_or(UsedGpuMemory::Unavailable, UsedGpuMemory::Used);
        ProcessInfo { pid, used_gpu_memory, gpu_instance_id: None, compute_instance_id: None }
    }

    #[test]
    fn memory_that_nobody_has_is_leftover_only_where_nobody_could_have_it() {
        let none: [ProcessInfo; 0] = [];
        assert_eq!(account(0, &none, &[]), Use::default());
        assert_eq!(account(GIB / 4, &none, &[]).foreign_bytes, GIB / 4, "the driver's own");
        assert_eq!(account(9 * GIB, &none, &[]).leftover_bytes, 9 * GIB);
        let ours = account(9 * GIB, &[process(7, Some(8 * GIB))], &[7]);
        assert_eq!(ours, Use::default(), "a context costs more than is listed");
        let silent = account(9 * GIB, &[process(8, None)], &[7]);
        assert_eq!((silent.foreign_bytes, silent.leftover_bytes), (9 * GIB, 0));
    }

    #[test]
    fn strangers_are_counted_once_and_named_by_what_they_use() {
        let listed = [process(1, Some(GIB)), process(2, Some(3 * GIB)), process(1, Some(GIB))];
        let seen = account(4 * GIB, &listed, &[]);
        assert_eq!(seen, Use { foreign_bytes: 4 * GIB, strangers: vec![2, 1], leftover_bytes: 0 });
    }
}

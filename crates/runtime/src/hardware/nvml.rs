//! GPUs as the driver shows them. Without a driver there are none, which is no error.

mod faults;
mod holders;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use dedi_domain::hardware::Health;
use dedi_domain::{Device, DeviceId};
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use self::faults::Faults;
use self::holders::{Holders, account};
use super::Engines;
use super::cpu::process_label;
use super::names::kind_of;
use crate::process::locked;

/// How long a library that could not be loaded is left alone.
const RETRY_DELAY: Duration = Duration::from_secs(60);

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
    /// Whose the processes are that the driver names.
    holders: Holders,
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
        let State { driver, tried_at, closed, known, holders, troubles } = &mut *state;
        holders.begin(ours);
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
                // What the driver said instead of which GPU it has there.
                let mut untold: Option<String> = None;
                let mut devices: Vec<Device> = match nvml.device_count() {
                    Ok(n_devices) => (0..n_devices)
                        .filter_map(|at| look(nvml, at, holders, known, &mut now, &mut untold))
                        .collect(),
                    Err(err) => {
                        now.push(format!("the GPU driver does not answer: {err}"));
                        untold = Some(err.to_string());
                        known.values().map(|it| troubled(it, &err)).collect()
                    }
                };
                // A GPU that was never seen may be one of our engines'.
                let missing = untold.map_or_else(Vec::new, |why| held(ours, &why));
                devices.extend(without(missing, &devices));
                holders.end(now.is_empty());
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
    holders: &mut Holders,
    known: &mut BTreeMap<u32, Device>,
    troubles: &mut Vec<String>,
    untold: &mut Option<String>,
) -> Option<Device> {
    match measure(nvml, at, holders) {
        Ok(device) => {
            known.insert(at, device.clone());
            Some(device)
        }
        Err(err) => {
            let last = known.get(&at);
            let name = last.map_or_else(|| "which has never been seen".to_owned(), |it| it.id.to_string());
            troubles.push(format!("GPU {at}, {name}, does not answer: {err}"));
            if last.is_none() && is_the_drivers(&err) {
                *untold = Some(err.to_string());
            }
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

/// Those of `devices` that are not among `others`.
fn without(devices: Vec<Device>, others: &[Device]) -> Vec<Device> {
    devices.into_iter().filter(|it| others.iter().all(|other| other.id != it.id)).collect()
}

fn measure(nvml: &Nvml, at: u32, holders: &mut Holders) -> Result<Device, NvmlError> {
    let gpu = nvml.device_by_index(at)?;
    let memory = gpu.memory_info()?;
    let mut processes = gpu.running_compute_processes()?;
    // Older drivers and some products can't tell who draws.
    processes.extend(gpu.running_graphics_processes().unwrap_or_default());
    let usage = account(memory.used, &processes, |pid| holders.holder(pid));
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

/// The driver counts all GPUs in one row; a kind's devices are counted by themselves.
fn number_by_kind(devices: &mut [Device]) {
    let mut counts = BTreeMap::new();
    for device in devices {
        let count = counts.entry(device.kind.clone()).or_insert(0_u32);
        device.index = *count;
        *count += 1;
    }
}

//! GPUs as the driver shows them. Without a driver there are none, which is no error.

mod faults;
mod holders;
mod memory;
mod messages;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use dedi_domain::hardware::Health;
use dedi_domain::{Bar, BarCause, Device, DeviceId, NodeId, Trouble};
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use parking_lot::Mutex;

use self::faults::Faults;
use self::holders::Holders;
use self::memory::{Memory, memory};
use super::Engines;
use super::names::kind_of;
use super::traces::Traces;

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
    traces: Traces,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    driver: Option<Driver>,
    tried_at: Option<Instant>,
    /// Why it is not open.
    closed: Closed,
    /// By the driver's index, as last seen whole: a lost device can't say which one it is.
    known: BTreeMap<u32, Device>,
    /// Whose the processes are that the driver names.
    holders: Holders,
    /// What was wrong at the last look, which is logged when it is new.
    logged: Vec<String>,
}

impl Gpus {
    pub(super) fn new(library: PathBuf) -> Self {
        Self { library, traces: Traces::new(), state: Mutex::default() }
    }

    /// All GPUs, and why there may be more. Those that answer with a fault are listed as faulty. Where the driver can't
    /// be asked, as after its files were replaced under it, those that are known or that our engines have are still
    /// there.
    pub(super) fn devices(&self, ours: &Engines) -> (Vec<Device>, Vec<Trouble>) {
        let mut state = self.state.lock();
        let State { driver, tried_at, closed, known, holders, logged } = &mut *state;
        holders.begin(ours);
        if driver.is_none() && tried_at.is_none_or(|it| it.elapsed() >= RETRY_DELAY) {
            *tried_at = Some(Instant::now());
            match self.open() {
                Ok(opened) => {
                    let nvml: &'static Nvml = Box::leak(Box::new(opened));
                    *driver = Some(Driver { nvml, faults: Faults::watch(nvml) });
                }
                Err(err) => *closed = Closed::by(&err, &self.traces),
            }
        }
        let mut troubles = Vec::new();
        let mut devices = match driver {
            None => {
                troubles.extend(closed.trouble.clone());
                held(ours, &closed.why)
            }
            Some(Driver { nvml, faults }) => {
                faults.listen();
                // What the driver said instead of which GPU it has there.
                let mut unidentified: Option<String> = None;
                let mut devices: Vec<Device> = match nvml.device_count() {
                    Ok(0) => {
                        troubles.extend(self.traces.nvidia().map(|sign| Trouble {
 node: NodeId::LOCAL,
                            what: format!("{sign}, and the GPU driver lists none"),
                            cure: "run `nvidia-smi`; in a container, start it with its devices, such as `--gpus all`"
                                .to_owned(),
                        }));
                        Vec::new()
                    }
                    Ok(n_devices) => (0..n_devices)
                        .filter_map(|at| observe(nvml, at, holders, known, &mut troubles, &mut unidentified))
                        .collect(),
                    Err(err) => {
                        troubles.push(trouble("the GPU driver does not answer", &err));
                        unidentified = Some(messages::message(&err));
                        known.values().map(|it| troubled(it, &err)).collect()
                    }
                };
                // A GPU that was never seen may be one of our engines'.
                let missing = unidentified.map_or_else(Vec::new, |why| held(ours, &why));
                devices.extend(without(missing, &devices));
                holders.end(troubles.is_empty());
                devices.iter_mut().for_each(|it| faults.judge(it));
                devices
            }
        };
        let now: Vec<String> = troubles.iter().map(|it| format!("{}: {}", it.what, it.cure)).collect();
        for trouble in now.iter().filter(|it| !logged.contains(it)) {
            tracing::warn!("{trouble}");
        }
        *logged = now;
        // Of those that are listed, their health tells.
        troubles.retain(|it| !devices.iter().any(|device| it.what.contains(device.id.name())));
        number_by_kind(&mut devices);
        (devices, troubles)
    }

    fn open(&self) -> Result<Nvml, NvmlError> {
        match crate::process::given(&self.library) {
            Some(path) => Nvml::builder().lib_path(path.as_os_str()).init(),
            // The name that a driver's installation has; the other one comes with development files.
            None => Nvml::builder().lib_path("libnvidia-ml.so.1".as_ref()).init(),
        }
    }
}

/// A driver that is not open.
#[derive(Clone, Debug, Default)]
struct Closed {
    why: String,
    /// Nothing where there is no sign of a GPU either, which is how most hosts are.
    trouble: Option<Trouble>,
}

impl Closed {
    fn by(err: &NvmlError, traces: &Traces) -> Self {
        let why = format!("the GPU driver does not start: {}", messages::message(err));
        let trouble = if messages::is_absence(err) {
            traces.nvidia().map(|sign| Trouble {
                node: NodeId::LOCAL,
                what: format!("{sign}, and {why}"),
                cure: format!("{}; runtime.hardware.gpus = false leaves GPUs alone", messages::cure(err)),
            })
        } else {
            Some(Trouble { node: NodeId::LOCAL, what: why.clone(), cure: messages::cure(err).to_owned() })
        };
        if trouble.is_none() {
            tracing::debug!("no GPUs: {why}");
        }
        Self { why, trouble }
    }
}

fn trouble(what: &str, err: &NvmlError) -> Trouble {
    Trouble {
        node: NodeId::LOCAL,
        what: format!("{what}: {}", messages::message(err)),
        cure: messages::cure(err).to_owned(),
    }
}

fn observe(
    nvml: &Nvml,
    at: u32,
    holders: &mut Holders,
    known: &mut BTreeMap<u32, Device>,
    troubles: &mut Vec<Trouble>,
    unidentified: &mut Option<String>,
) -> Option<Device> {
    match measure(nvml, at, holders, known.get(&at)) {
        Ok((device, refused)) => {
            match refused {
                // Not as it was last seen whole.
                Some(err) => troubles
                    .push(trouble(&format!("GPU {at}, {}, does not tell its memory", device.id), &err)),
                None => {
                    known.insert(at, device.clone());
                }
            }
            Some(device)
        }
        Err(err) => {
            let last = known.get(&at);
            let name = last.map_or_else(|| "which has never been seen".to_owned(), |it| it.id.to_string());
            troubles.push(trouble(&format!("GPU {at}, {name}, does not answer"), &err));
            if last.is_none() && !messages::is_the_devices(&err) {
                *unidentified = Some(messages::message(&err));
            }
            last.map(|it| troubled(it, &err))
        }
    }
}

/// A device that was well before the driver said this.
fn troubled(last: &Device, err: &NvmlError) -> Device {
    Device { health: health(err), ..last.clone() }
}

fn health(err: &NvmlError) -> Health {
    let what = format!("{}; {}", messages::message(err), messages::cure(err));
    if messages::is_the_devices(err) { Health::Faulty(what) } else { Health::Unknown(what) }
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
        barred: None,
    })
    .collect()
}

/// Those of `devices` that are not among `others`.
fn without(devices: Vec<Device>, others: &[Device]) -> Vec<Device> {
    devices.into_iter().filter(|it| others.iter().all(|other| other.id != it.id)).collect()
}

/// What one GPU is and has. Which one it is and what it is called must be told; where anything else is not, another call
/// or less knowledge will do, and the error that keeps it from being placed upon comes with it.
fn measure(
    nvml: &Nvml,
    at: u32,
    holders: &mut Holders,
    last: Option<&Device>,
) -> Result<(Device, Option<NvmlError>), NvmlError> {
    let gpu = nvml.device_by_index(at)?;
    let id = DeviceId::local(gpu.uuid()?);
    // Old products have no such mode.
    let is_divided = gpu.mig_mode().is_ok_and(|it| it.current == 1);
    let memory = memory(&gpu);
    let board_bytes = memory.as_ref().map_or(0, |it| it.1);
    let kind = match (gpu.name(), last) {
        (Ok(name), _) if board_bytes > 0 || last.is_none() => kind_of(&name, board_bytes),
        (_, Some(last)) => last.kind.clone(),
        (Ok(name), None) => kind_of(&name, board_bytes),
        (Err(err), None) => return Err(err),
    };
    let mut device = Device {
        id,
        index: at,
        health: Health::Healthy,
        memory_total_bytes: last.map_or(u64::from(kind.memory_gb) << 30, |it| it.memory_total_bytes),
        kind,
        foreign_bytes: 0,
        foreign_processes: Vec::new(),
        leftover_bytes: 0,
        barred: is_divided.then(|| divided(at)),
    };
    match memory {
        Ok((Memory::Own { total, used }, _)) => {
            device.memory_total_bytes = total;
            let usage = holders.account(&device.id, used, processes(&gpu).as_deref());
            device.foreign_bytes = usage.foreign_bytes;
            device.foreign_processes = usage.strangers;
            device.leftover_bytes = usage.leftover_bytes;
        }
        // What others use of it is used of the host's memory, too.
        Ok((Memory::Hosts { total, available }, _)) => {
            device.memory_total_bytes = available.saturating_add(holders.our_host_bytes()).min(total);
        }
        // The whole's figures may be refused while its parts are given out.
        Err(_) if is_divided => {}
        Err(err) => {
            device.health = health(&err);
            return Ok((device, Some(err)));
        }
    }
    Ok((device, None))
}

/// Who computes and draws on a GPU; nothing where the driver can't tell.
fn processes(gpu: &nvml_wrapper::Device<'_>) -> Option<Vec<ProcessInfo>> {
    let computing = match gpu.running_compute_processes() {
        Err(err) if messages::is_unsupported(&err) => gpu.running_compute_processes_v2(),
        answer => answer,
    };
    let drawing = match gpu.running_graphics_processes() {
        Err(err) if messages::is_unsupported(&err) => gpu.running_graphics_processes_v2(),
        answer => answer,
    };
    match (computing, drawing) {
        (Ok(computing), drawing) => Some([computing, drawing.unwrap_or_default()].concat()),
        (Err(_), Ok(drawing)) => Some(drawing),
        (Err(_), Err(_)) => None,
    }
}

/// In this mode work is given to instances, which are not offered; the GPU as a whole computes nothing.
fn divided(at: u32) -> Bar {
    Bar {
        cause: BarCause::Divided,
        what: "it is in MIG mode, and its instances are not supported".to_owned(),
        cure: format!("switch the mode off when nobody uses its instances: `nvidia-smi -i {at} -mig 0`"),
    }
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

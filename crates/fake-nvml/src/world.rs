//! The GPUs that are pretended, read anew from a JSON file at each call, so that a test can change them
//! while the server runs.

use std::collections::BTreeMap;
use std::fs;

use nvml_wrapper_sys::bindings as nvml;
use serde::Deserialize;

/// Names the file. Without it, or without the file, there is no driver.
const VARIABLE: &str = "DEDI_FAKE_NVML";

/// All that the driver would know.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct World {
    pub(crate) gpus: Vec<Gpu>,
    /// The driver answers nothing but this error: a number of `nvmlReturn_t`.
    #[serde(default)]
    pub(crate) error: Option<u32>,
    /// Faults in the order in which they happened; what was told once is not told again.
    #[serde(default)]
    pub(crate) xids: Vec<Xid>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gpu {
    pub(crate) uuid: String,
    pub(crate) name: String,
    pub(crate) memory_mib: u64,
    /// Used, and by no process that is listed.
    #[serde(default)]
    pub(crate) held_mib: u64,
    #[serde(default)]
    pub(crate) processes: Vec<Process>,
    /// Those that draw; the driver lists them apart.
    #[serde(default)]
    pub(crate) graphics: Vec<Process>,
    /// Every question about it gets this error: a number of `nvmlReturn_t`.
    #[serde(default)]
    pub(crate) error: Option<u32>,
    /// Questions that get an error of their own, a number of `nvmlReturn_t` each: 13 is what a driver says that does
    /// not have the call.
    #[serde(default)]
    pub(crate) errors: BTreeMap<Question, u32>,
    #[serde(default)]
    pub(crate) is_cut: bool,
}

/// What can be asked of a GPU.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    Uuid,
    Name,
    Memory,
    /// As drivers before 2022 are asked.
    MemoryV1,
    Processes,
    ProcessesV2,
    Graphics,
    GraphicsV2,
    MigMode,
    Events,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) mib: u64,
    /// The driver doesn't say how much it uses, as in some containers.
    #[serde(default)]
    pub(crate) is_hidden: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Xid {
    pub(crate) gpu: u32,
    pub(crate) number: u64,
}

impl World {
    /// The world as it is now; an error of the driver where there is none.
    pub(crate) fn now() -> Result<Self, nvml::nvmlReturn_t> {
        let path = std::env::var_os(VARIABLE).ok_or(nvml::nvmlReturn_enum_NVML_ERROR_DRIVER_NOT_LOADED)?;
        let text = fs::read(path).map_err(|_missing| nvml::nvmlReturn_enum_NVML_ERROR_DRIVER_NOT_LOADED)?;
        let world: Self = serde_json::from_slice(&text).map_err(|err| {
            eprintln!("the fake GPUs can't be read: {err}");
            nvml::nvmlReturn_enum_NVML_ERROR_UNKNOWN
        })?;
        match world.error {
            Some(error) => Err(error),
            None => Ok(world),
        }
    }

    /// The GPU of a handle, if it answers.
    pub(crate) fn gpu(self, at: u32) -> Result<Gpu, nvml::nvmlReturn_t> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let gpu = self.gpus.into_iter().nth(at).ok_or(nvml::nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT)?;
        match gpu.error {
            Some(error) => Err(error),
            None => Ok(gpu),
        }
    }
}

impl Gpu {
    /// Itself, where the question is answered.
    pub(crate) fn asked(self, question: Question) -> Result<Self, nvml::nvmlReturn_t> {
        match self.errors.get(&question) {
            Some(error) => Err(*error),
            None => Ok(self),
        }
    }

    /// Bytes in use, whoever uses them.
    pub(crate) fn used_bytes(&self) -> u64 {
        let processes: u64 = self.processes.iter().chain(&self.graphics).map(|it| it.mib).sum();
        (self.held_mib + processes) << 20
    }
}

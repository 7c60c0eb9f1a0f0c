//! The codes of reasons, and which one a failure shows as.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::replica::FailureCause;

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// The reason of a state, as programs match it. Listed in docs/reasons.md.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum ReasonCode {
            $($(#[$doc])* #[serde(rename = $code)] $name,)*
        }

        impl ReasonCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code's text on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

reason_codes! {
    /// Accepted; no pass has looked at it yet.
    Accepted = "accepted",
    /// Every suitable device is taken.
    NoCapacity = "no_capacity",
    /// Somebody who asked earlier is served first.
    WaitingTurn = "waiting_turn",
    /// Devices are free but other programs use their memory.
    MemoryInUse = "memory_in_use",
    /// The host has no such devices, or too few healthy ones.
    HardwareMissing = "hardware_missing",
    /// The engine program has no back-end for such devices.
    EngineLacksGpu = "engine_lacks_gpu",
    /// Replicas of the last run still drain or stop.
    DrainingPrevious = "draining_previous",
    /// The model is being fetched from the hub.
    Downloading = "downloading",
    /// The model's files are read to see whether they are what they must be.
    Checking = "checking",
    /// The model could not be fetched; the next try waits.
    DownloadFailed = "download_failed",
    /// The model store does not have the model; it is looked for again all the time.
    ModelAbsent = "model_absent",
    /// The model's files can't be read now; they are looked at again all the time.
    ModelUnreadable = "model_unreadable",
    /// The last attempt failed; the next one waits.
    BackingOff = "backing_off",
    /// A process was started.
    Launching = "launching",
    /// The engine loads the model.
    Loading = "loading",
    /// All wanted replicas answer.
    Ready = "ready",
    /// Some wanted replicas answer, others do not yet.
    Scaling = "scaling",
    /// Some wanted replicas answer; for the others there is no room or they fail.
    Degraded = "degraded",
    /// No replica runs; the first request starts one.
    Asleep = "asleep",
    /// Running requests are being finished.
    Draining = "draining",
    /// Processes are being ended.
    Terminating = "terminating",
    /// Processes are gone; device memory is not back yet.
    Releasing = "releasing",
    /// A request stopped it, or it was created stopped.
    StoppedByUser = "stopped_by_user",
    /// It was idle for its whole inactivity timeout.
    StoppedInactive = "stopped_inactive",
    /// It is being deleted.
    Deleting = "deleting",
    /// The runtime could not be asked; the state is the last known one.
    Unobserved = "unobserved",
    /// What is to be done next can't be written down: the disk is full, or the database locked.
    Unrecorded = "unrecorded",
    /// The engine exits with an error each time.
    EngineExited = "engine_exited",
    /// Something kills the engine each time.
    EngineKilled = "engine_killed",
    /// The engine runs out of host memory.
    OutOfMemory = "out_of_memory",
    /// The engine runs out of device memory.
    DeviceOutOfMemory = "device_out_of_memory",
    /// The model's files are damaged or unsupported.
    ModelUnusable = "model_unusable",
    /// The engine program can't be started.
    SpawnFailed = "spawn_failed",
    /// The engine never became ready.
    StartupDeadline = "startup_deadline",
    /// The engine stops answering.
    Unresponsive = "unresponsive",
    /// The engine hits its limit of processes.
    ProcessLimit = "process_limit",
    /// The engine wrote more to its folder than it may.
    DiskLimit = "disk_limit",
    /// The supervisor, or the folder it stood in, disappears.
    SupervisorLost = "supervisor_lost",
    /// Engine and supervisor disappear.
    Lost = "lost",
    /// The host restarted.
    HostRestarted = "host_restarted",
    /// A device became faulty.
    DeviceLost = "device_lost",
    /// `dedi down`, or a signal to its supervisor, ended it.
    StoppedOnHost = "stopped_on_host",
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<FailureCause> for ReasonCode {
    fn from(cause: FailureCause) -> Self {
        match cause {
            FailureCause::EngineExited => Self::EngineExited,
            FailureCause::EngineKilled => Self::EngineKilled,
            FailureCause::OutOfMemory => Self::OutOfMemory,
            FailureCause::DeviceOutOfMemory => Self::DeviceOutOfMemory,
            FailureCause::ModelUnusable => Self::ModelUnusable,
            FailureCause::EngineLacksGpu => Self::EngineLacksGpu,
            FailureCause::SpawnFailed => Self::SpawnFailed,
            FailureCause::StartupDeadline => Self::StartupDeadline,
            FailureCause::Unresponsive => Self::Unresponsive,
            FailureCause::ProcessLimit => Self::ProcessLimit,
            FailureCause::DiskLimit => Self::DiskLimit,
            FailureCause::SupervisorLost => Self::SupervisorLost,
            FailureCause::Lost => Self::Lost,
            FailureCause::HostRestarted => Self::HostRestarted,
            FailureCause::DeviceLost => Self::DeviceLost,
            FailureCause::Stopped => Self::StoppedOnHost,
        }
    }
}

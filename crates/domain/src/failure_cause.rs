//! Why replicas fail.

use serde::{Deserialize, Serialize};

/// Why a replica failed, as far as can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCause {
    /// The engine exited by itself with an error.
    EngineExited,
    /// A signal we did not send ended it.
    EngineKilled,
    /// It ran out of host memory.
    OutOfMemory,
    /// It ran out of device memory while loading.
    DeviceOutOfMemory,
    /// The model's files are missing or unusable.
    ModelUnusable,
    /// The engine program has no back-end for its GPUs, or none that sees them.
    EngineLacksGpu,
    /// The engine program could not be started.
    SpawnFailed,
    /// It did not become ready in time.
    StartupDeadline,
    /// It stopped answering probes.
    Unresponsive,
    /// It hit its limit of processes.
    ProcessLimit,
    /// It wrote more to its folder than it may.
    DiskLimit,
    /// Its supervisor is gone without a word, or the folder that it was found by; the engine is ended.
    SupervisorLost,
    /// Its processes are gone and nothing tells why.
    Lost,
    /// The host restarted under it.
    HostRestarted,
    /// A device it ran on became faulty.
    DeviceLost,
    /// We stopped it.
    Stopped,
}

impl FailureCause {
    /// Every cause.
    pub const ALL: [Self; 16] = [
        Self::EngineExited,
        Self::EngineKilled,
        Self::OutOfMemory,
        Self::DeviceOutOfMemory,
        Self::ModelUnusable,
        Self::EngineLacksGpu,
        Self::SpawnFailed,
        Self::StartupDeadline,
        Self::Unresponsive,
        Self::ProcessLimit,
        Self::DiskLimit,
        Self::SupervisorLost,
        Self::Lost,
        Self::HostRestarted,
        Self::DeviceLost,
        Self::Stopped,
    ];

    /// Whether trying again as before cannot help, so that only a changed wish starts a new try.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::DeviceOutOfMemory | Self::ModelUnusable | Self::EngineLacksGpu | Self::StartupDeadline => {
                true
            }
            Self::EngineExited
            | Self::EngineKilled
            | Self::OutOfMemory
            | Self::SpawnFailed
            | Self::Unresponsive
            | Self::ProcessLimit
            | Self::DiskLimit
            | Self::SupervisorLost
            | Self::Lost
            | Self::HostRestarted
            | Self::DeviceLost
            | Self::Stopped => false,
        }
    }

    /// Whether it says something about the endpoint, rather than about us or the host.
    pub fn counts(self) -> bool {
        match self {
            Self::HostRestarted | Self::Stopped | Self::DeviceLost => false,
            Self::EngineExited
            | Self::EngineKilled
            | Self::OutOfMemory
            | Self::DeviceOutOfMemory
            | Self::ModelUnusable
            | Self::EngineLacksGpu
            | Self::SpawnFailed
            | Self::StartupDeadline
            | Self::Unresponsive
            | Self::ProcessLimit
            | Self::DiskLimit
            | Self::SupervisorLost
            | Self::Lost => true,
        }
    }

    /// The cause as a clause: "the engine …".
    pub fn sentence(self) -> &'static str {
        match self {
            Self::EngineExited => "the engine exited with an error",
            Self::EngineKilled => "the engine was killed by a signal that dedi did not send",
            Self::OutOfMemory => "the engine ran out of memory",
            Self::DeviceOutOfMemory => "the device has too little free memory for this model",
            Self::ModelUnusable => "the model's files are missing, damaged or of an unsupported kind",
            Self::EngineLacksGpu => "the engine program can't compute on its GPUs",
            Self::SpawnFailed => "the engine program could not be started",
            Self::StartupDeadline => "the engine did not become ready in time",
            Self::Unresponsive => "the engine stopped answering",
            Self::ProcessLimit => "the engine hit its limit of processes",
            Self::DiskLimit => "the engine wrote more to its folder than it may",
            Self::SupervisorLost => {
                "its supervisor or its folder is gone, and the engine does not go on without them"
            }
            Self::Lost => "the engine and its supervisor disappeared",
            Self::HostRestarted => "the host restarted",
            Self::DeviceLost => "a device it ran on became faulty",
            Self::Stopped => "it was stopped on the host, by `dedi down` or a signal",
        }
    }
}

//! Everything a runtime needs to make one replica exist, decided before anything is started.

use dedi_domain::{AssignedDevice, EndpointId, EngineKind, HardwareId, ModelName, Nonce, ReplicaId};

/// One replica to be. Two launches of the same replica are the same launch: they carry one nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Identifies the replica to start.
    pub replica: ReplicaId,
    /// Identifies this launch; the process must echo it.
    pub nonce: Nonce,
    /// The endpoint it belongs to.
    pub endpoint: EndpointId,
    /// Counts the endpoint's launches, from 1; names the log.
    pub attempt: u32,
    /// The engine that serves it.
    pub engine: EngineKind,
    /// The model to serve; the runtime locates its files.
    pub model: ModelRef,
    /// Devices or resources it runs on.
    pub placement: Placement,
    /// Tokens of context per request.
    pub context_tokens: u32,
    /// Requests generated at the same time.
    pub slots: u32,
    /// Memory the replica may use in bytes, where the runtime can enforce it.
    pub memory_limit_bytes: Option<u64>,
    /// Serves embeddings rather than text.
    pub embedding: bool,
}

/// A model as endpoints know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRef {
    /// Model name as used in the API.
    pub name: ModelName,
    /// The revision that may be loaded and no other. `None` for files that came from no hub.
    pub revision: Option<String>,
}

/// What a replica runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// These devices, all of one node, which were chosen and reserved before.
    Devices(Vec<AssignedDevice>),
    /// So much, wherever the runtime finds it.
    Delegated(Resources),
}

impl Placement {
    /// The devices that were chosen; none where the runtime chooses.
    pub fn devices(&self) -> &[AssignedDevice] {
        match self {
            Self::Devices(devices) => devices,
            Self::Delegated(_) => &[],
        }
    }
}

/// What the runtime is to find a place with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// The kind of device and how many.
    pub hardware: HardwareId,
    /// Memory in bytes that the replica needs on each device.
    pub bytes_per_device: u64,
}

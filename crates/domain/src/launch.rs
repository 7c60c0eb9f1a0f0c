//! Everything a runtime needs to make one replica exist, decided before anything is started.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::hardware::{DeviceId, DeviceKind};
use crate::ids::{EndpointId, ModelName, Nonce, ReplicaId};

/// Where a replica's engine is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP address.
    Tcp(SocketAddr),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// A device given to a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedDevice {
    /// Which one.
    pub id: DeviceId,
    /// Its kind.
    pub kind: DeviceKind,
    /// Its position among its kind, see [`crate::hardware::Device::index`].
    pub index: u32,
}

/// One replica to be. Two launches of the same replica are the same launch: they carry one nonce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The replica.
    pub replica: ReplicaId,
    /// What the process must echo.
    pub nonce: Nonce,
    /// The endpoint it belongs to.
    pub endpoint: EndpointId,
    /// Counts the endpoint's launches, from 1; names the log.
    pub attempt: u32,
    /// The model's wire name.
    pub model: ModelName,
    /// The model's file, or folder for engines that read folders.
    pub model_path: PathBuf,
    /// What it may run on.
    pub devices: Vec<AssignedDevice>,
    /// Tokens of context per request.
    pub context_tokens: u32,
    /// Requests generated at the same time.
    pub slots: u32,
    /// Memory the replica may use in bytes, where the host can enforce it.
    pub memory_limit_bytes: Option<u64>,
    /// Serves embeddings rather than text.
    #[serde(default)]
    pub embedding: bool,
}

//! What an engine needs and has, apart from its command line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::fit::{MemoryNeed, ModelFacts, Serving, memory_need};

/// Where an engine is spoken to. It listens there by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// A unix socket in its own folder, which nobody else reaches.
    UnixSocket,
    /// A TCP port of 127.0.0.1 that is chosen for the launch. Every user of the host can reach it.
    Loopback,
}

/// Where an engine's metrics are, and what they are called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricNames {
    /// The path that is asked.
    pub path: String,
    /// Requests that are generated now.
    pub running: Option<String>,
    /// Requests that wait in the engine.
    pub waiting: Option<String>,
    /// Prompt tokens so far.
    pub prompt_tokens: Option<String>,
    /// Prompt tokens so far that were found in a cache.
    pub cached_tokens: Option<String>,
    /// Tokens generated so far.
    pub generated_tokens: Option<String>,
}

/// A kind of model files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelFormat {
    /// GGUF files; the engine is given the first.
    Gguf,
    /// A folder of safetensors with its configuration.
    Safetensors,
}

impl std::fmt::Display for ModelFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gguf => "GGUF",
            Self::Safetensors => "safetensors",
        })
    }
}

/// How much memory a model takes in an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryModel {
    /// Its weights, a cache for all slots' contexts, and buffers for one step; see [`crate::fit::memory_need`].
    #[default]
    Computed,
}

impl MemoryModel {
    /// What one replica of a model needs.
    pub fn need(self, facts: &ModelFacts, serving: Serving) -> MemoryNeed {
        match self {
            Self::Computed => memory_need(facts, serving),
        }
    }
}

/// What an engine needs at isolation level 1, besides its model, its own folder, its transport and what every program
/// needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IsolationNeeds {
    /// Files and folders to read and run.
    pub read: Vec<PathBuf>,
    /// Files and folders to write.
    pub write: Vec<PathBuf>,
    /// Memory that its processes share, in `/dev/shm`.
    pub shared_memory: bool,
}

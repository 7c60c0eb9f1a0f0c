//! What an operator can say about replica processes. Every key has a default that works.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::hardware::HardwareSettings;

/// Replica processes, their probes, their logs, and the devices they get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessConfig {
    /// Seconds between the request to end (TERM) and the kill of the whole group.
    pub stop_grace_secs: u64,
    /// Milliseconds between looks at a replica that is ready.
    pub probe_interval_ms: u64,
    /// Milliseconds between looks at a replica that is loading.
    pub launch_probe_interval_ms: u64,
    /// Longest wait in milliseconds for the answer to a look.
    pub probe_timeout_ms: u64,
    /// Looks in a row without an answer that make a ready replica unresponsive.
    pub probe_failures_max: u32,
    /// Longest wait in seconds for the one token that proves a replica ready.
    pub first_token_timeout_secs: u64,
    /// Bytes of one log file; a full one is rotated away.
    pub log_bytes_max: u64,
    /// Log files kept for one attempt, the current one included.
    pub log_files: u32,
    /// Attempts whose logs are kept for each endpoint.
    pub log_attempts_kept: usize,
    /// Bytes of all logs of one endpoint; when there are more, those of its oldest ended attempts go.
    pub log_bytes_per_endpoint_max: u64,
    /// Processes and threads one replica may have, where the host can enforce it.
    pub pids_max: u64,
    /// Environment variables of the server that engines get too, besides the few they always get.
    pub env_pass: Vec<String>,
    /// How far engines are kept apart: `auto` for the highest level that this host allows, `1` to start none where
    /// it doesn't allow that, `0` for none of it. docs/architecture.md lists the levels.
    pub isolation: IsolationSetting,
    /// Files and folders that engines may read at isolation level 1, besides their model and the system's libraries.
    pub read_pass: Vec<PathBuf>,
    /// Files and folders that engines may write at isolation level 1, besides a folder of their own.
    pub write_pass: Vec<PathBuf>,
    /// The devices on offer.
    pub hardware: HardwareSettings,
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self {
            // An engine that finishes its requests was drained before; what is left is closing files.
            stop_grace_secs: 10,
            // A hung replica is noticed within probe_interval * failures + timeout: about 5 s.
            probe_interval_ms: 1_000,
            // Small models load in under a second; nobody should wait longer for the look than for the load.
            launch_probe_interval_ms: 100,
            // A host whose cores are all busy generating answers late, not never.
            probe_timeout_ms: 3_000,
            probe_failures_max: 2,
            // The first token may compile kernels and page in all weights.
            first_token_timeout_secs: 300,
            log_bytes_max: 100 << 20,
            log_files: 3,
            log_attempts_kept: 20,
            // Three attempts that filled all their files; what a crash loop leaves is far less.
            log_bytes_per_endpoint_max: 1 << 30,
            pids_max: 4_096,
            env_pass: Vec::new(),
            isolation: IsolationSetting::Auto,
            read_pass: Vec::new(),
            write_pass: Vec::new(),
            hardware: HardwareSettings::default(),
        }
    }
}

/// The isolation level that an operator asks for: `"auto"`, `0` or `1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum IsolationSetting {
    /// The highest that the host allows; on GPUs 0, as level 1 has not been tried with their drivers.
    #[default]
    Auto,
    /// What needs nothing of the host.
    Level0,
    /// Landlock and a filter of system calls, or no replica.
    Level1,
}

/// As it stands in the config file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Level(i64),
    Word(String),
}

impl TryFrom<Written> for IsolationSetting {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let text = match written {
            Written::Level(level) => level.to_string(),
            Written::Word(word) => word,
        };
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "0" => Ok(Self::Level0),
            "1" => Ok(Self::Level1),
            _ => Err(format!("isolation is \"auto\", 0 or 1, not {text}")),
        }
    }
}

impl From<IsolationSetting> for Written {
    fn from(setting: IsolationSetting) -> Self {
        match setting {
            IsolationSetting::Auto => Self::Word("auto".to_owned()),
            IsolationSetting::Level0 => Self::Level(0),
            IsolationSetting::Level1 => Self::Level(1),
        }
    }
}

/// `PathBuf` that is empty when it was not given.
pub(crate) fn given(path: &PathBuf) -> Option<&PathBuf> {
    (!path.as_os_str().is_empty()).then_some(path)
}

impl ProcessConfig {
    pub(crate) fn probe_interval(&self) -> Duration {
        Duration::from_millis(self.probe_interval_ms.max(10))
    }

    pub(crate) fn launch_probe_interval(&self) -> Duration {
        Duration::from_millis(self.launch_probe_interval_ms.max(10))
    }

    pub(crate) fn probe_timeout(&self) -> Duration {
        Duration::from_millis(self.probe_timeout_ms.max(10))
    }

    pub(crate) fn first_token_timeout(&self) -> Duration {
        Duration::from_secs(self.first_token_timeout_secs.max(1))
    }

    pub(crate) fn stop_grace(&self) -> Duration {
        Duration::from_secs(self.stop_grace_secs)
    }
}

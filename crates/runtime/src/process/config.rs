//! What an operator can say about replica processes. Every key has a default that works.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use dedi_domain::{Setting, check_settings};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::hardware::HardwareSettings;

/// Replica processes, their probes, their logs, and the devices they get. What each number may be stands in
/// [`ProcessConfig::numbers`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, documented::DocumentedFields)]
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
    /// MiB that an engine may have in the folder it works in; one that has more is ended.
    pub engine_disk_mib: u64,
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
            // Compiled kernels of GPU engines take some hundred MiB; nothing of ours writes more than a socket.
            engine_disk_mib: 4_096,
            env_pass: Vec::new(),
            isolation: IsolationSetting::Auto,
            read_pass: Vec::new(),
            write_pass: Vec::new(),
            hardware: HardwareSettings::default(),
        }
    }
}

/// The isolation level that an operator asks for: `"auto"`, `0` or `1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IsolationSetting {
    /// The highest that the host allows; on GPUs 0, as level 1 has not been tried with their drivers.
    #[default]
    Auto,
    /// What needs nothing of the host.
    Level0,
    /// Landlock and a filter of system calls, or no replica.
    Level1,
}

impl<'de> Deserialize<'de> for IsolationSetting {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = IsolationSetting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"auto\", 0 or 1")
            }

            fn visit_i64<E: Error>(self, level: i64) -> Result<IsolationSetting, E> {
                match level {
                    0 => Ok(IsolationSetting::Level0),
                    1 => Ok(IsolationSetting::Level1),
                    _ => Err(E::invalid_value(Unexpected::Signed(level), &self)),
                }
            }

            fn visit_u64<E: Error>(self, level: u64) -> Result<IsolationSetting, E> {
                self.visit_i64(i64::try_from(level).unwrap_or(i64::MAX))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<IsolationSetting, E> {
                match text {
                    "auto" => Ok(IsolationSetting::Auto),
                    "0" => Ok(IsolationSetting::Level0),
                    "1" => Ok(IsolationSetting::Level1),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
        }

        from.deserialize_any(Written)
    }
}

impl Serialize for IsolationSetting {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => to.serialize_str("auto"),
            Self::Level0 => to.serialize_i64(0),
            Self::Level1 => to.serialize_i64(1),
        }
    }
}

/// `PathBuf` that is empty when it was not given.
pub(crate) fn given(path: &PathBuf) -> Option<&PathBuf> {
    (!path.as_os_str().is_empty()).then_some(path)
}

impl ProcessConfig {
    /// What is wrong with the values, as a sentence; types are checked before.
    ///
    /// # Errors
    ///
    /// The first problem found, as a sentence.
    pub fn check(&self) -> Result<(), String> {
        let default = Self::default();
        check_settings("runtime", &self.numbers(), &default.numbers())?;
        self.hardware.check()?;
        match self.env_pass.iter().find(|it| it.is_empty() || it.contains(['=', '\0'])) {
            Some(name) => Err(format!(
                "runtime.env_pass: {name:?} is no variable's name: list names alone, such as \"OMP_NUM_THREADS\", and set their values in the server's environment"
            )),
            None => Ok(()),
        }
    }

    /// What each number may be. The upper ends are far beyond real use: a number above one is a slip of the hand.
    pub fn numbers(&self) -> [Setting; 12] {
        let of = u64::from;
        [
            ("stop_grace_secs", self.stop_grace_secs, 0..=3_600),
            ("probe_interval_ms", self.probe_interval_ms, 10..=60_000),
            ("launch_probe_interval_ms", self.launch_probe_interval_ms, 10..=60_000),
            ("probe_timeout_ms", self.probe_timeout_ms, 10..=600_000),
            ("probe_failures_max", of(self.probe_failures_max), 1..=1_000),
            ("first_token_timeout_secs", self.first_token_timeout_secs, 1..=86_400),
            // Two lines of the longest that is written.
            ("log_bytes_max", self.log_bytes_max, 16 << 10..=1 << 40),
            ("log_files", of(self.log_files), 1..=1_000),
            ("log_attempts_kept", self.log_attempts_kept as u64, 1..=10_000),
            ("log_bytes_per_endpoint_max", self.log_bytes_per_endpoint_max, 16 << 10..=1 << 50),
            // A small engine on two cores lives with 16, one on more cores says that it met the limit; the most is what
            // Linux counts to.
            ("pids_max", self.pids_max, 16..=1 << 22),
            ("engine_disk_mib", self.engine_disk_mib, 1..=1 << 24),
        ]
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(set: impl FnOnce(&mut ProcessConfig)) -> String {
        let mut config = ProcessConfig::default();
        set(&mut config);
        config.check().unwrap_err()
    }

    #[test]
    fn a_value_that_no_replica_could_live_with_is_named_with_what_would_work() {
        ProcessConfig::default().check().unwrap();
        assert_eq!(
            refused(|it| it.pids_max = 1),
            "runtime.pids_max must be 16 to 4194304, got 1, by default it is 4096"
        );
        assert!(
            refused(|it| it.probe_interval_ms = 0).starts_with("runtime.probe_interval_ms must be 10 to ")
        );
        for name in ["A=B", ""] {
            let message = refused(|it| it.env_pass = vec!["HOME".to_owned(), name.to_owned()]);
            assert!(
                message.starts_with(&format!("runtime.env_pass: {name:?} is no variable's name")),
                "{message}"
            );
        }
        let cores = refused(|it| it.hardware.cpu_devices = Some(1_000_000));
        assert_eq!(cores, "runtime.hardware.cpu_devices must be 0 to 4096, got 1000000");
        let none = refused(|it| {
            it.hardware.cpu_devices = Some(0);
            it.hardware.gpus = false;
        });
        assert!(none.contains("cpu_devices = 0") && none.contains("gpus = false"), "{none}");
    }
}

//! How an engine is asked how it is doing, and what its answers mean.

use serde::{Deserialize, Serialize};

/// How an engine is asked, with a GET. It is taken to be ready when it answers so and has then done its work once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthSpec {
    /// The path.
    pub path: String,
    /// Statuses of one that serves.
    pub ready: Vec<u16>,
    /// Statuses of one that loads. Before it is ready, no answer at all means the same.
    pub loading: Vec<u16>,
    /// The member of a ready answer's JSON that has the launch's mark; absent where it can't echo one. It is known
    /// then by its socket in a folder of its own, or by whose process listens on its port.
    pub nonce: Option<String>,
    /// How far loading is.
    pub progress: Progress,
    /// Milliseconds that an answer may take; absent is what `runtime.probe_timeout_ms` says.
    pub timeout_ms: Option<u64>,
    /// Milliseconds between two looks at one that is ready; absent is what `runtime.probe_interval_ms` says.
    pub interval_ms: Option<u64>,
}

/// Where it says how far its loading is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Nowhere.
    #[default]
    Untold,
    /// This member of a loading answer's JSON is the share that is done, from 0 to 1.
    Member(String),
    /// Its log says so: the last of these stages that it has come to.
    Log(Vec<LogStage>),
}

/// A stage of loading, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStage {
    /// What a line has in it.
    pub says: String,
    /// Percent of the loading that is done then.
    pub percent: u8,
}

impl Default for HealthSpec {
    /// The embedded engine's.
    fn default() -> Self {
        Self {
            path: "/health".to_owned(),
            ready: vec![200],
            loading: vec![503],
            nonce: Some("nonce".to_owned()),
            progress: Progress::Member("progress".to_owned()),
            timeout_ms: None,
            interval_ms: None,
        }
    }
}

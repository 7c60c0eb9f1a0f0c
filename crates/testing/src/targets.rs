//! What the fake engine's mode `escape` is pointed at, and where it reports the outcome.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The file in the engine's working folder that holds the report: a JSON object from what was attempted to whether
/// it was refused.
pub const ESCAPE_REPORT: &str = "escape.json";

/// Given to the engine as its model file, in JSON. Names are for the report.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EscapeTargets {
    /// Files that are none of the engine's business.
    pub files: BTreeMap<String, PathBuf>,
    /// Folders of the same kind.
    pub folders: BTreeMap<String, PathBuf>,
    /// Sockets that somebody else listens on.
    pub sockets: BTreeMap<String, PathBuf>,
    /// The name of an abstract socket that somebody else listens on.
    pub abstract_socket: String,
    /// A TCP port of this host that somebody listens on.
    pub port: u16,
    /// Processes outside the engine: the server, a supervisor, another replica's engine.
    pub processes: BTreeMap<String, i32>,
}

//! `manifest.json` in a pulled model's folder: where it came from, and what each file is.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The file's name.
pub(crate) const FILE: &str = "manifest.json";
const BYTES_MAX: u64 = 4 << 20;

/// Where a model came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) model: String,
    /// The hub's base URL.
    pub(crate) hub: String,
    /// The revision that was asked for, and what it was then.
    pub(crate) revision: String,
    pub(crate) commit: String,
    #[serde(default)]
    pub(crate) license: String,
    /// RFC 3339.
    pub(crate) pulled_at: String,
    pub(crate) files: Vec<ManifestFile>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManifestFile {
    pub(crate) name: String,
    /// Its path in the repository.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl Manifest {
    /// The manifest of the model in `folder`; none for a model that somebody put there.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        let file = folder.join(FILE);
        if fs::metadata(&file).ok()?.len() > BYTES_MAX {
            return None;
        }
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }

    /// The first file that is not as long as it was, in a sentence.
    pub(crate) fn damage(&self, folder: &Path) -> Option<String> {
        self.files.iter().find_map(|it| {
            let length = fs::metadata(folder.join(&it.name)).map_or(0, |it| it.len());
            (length != it.bytes).then(|| {
                format!(
                    "{}: it has {length} bytes, but had {} when it was pulled; pull the model again",
                    it.name, it.bytes
                )
            })
        })
    }

    /// Where people can read about it.
    pub(crate) fn link(&self) -> String {
        format!("{}/{}/tree/{}", self.hub.trim_end_matches('/'), self.model, self.commit)
    }
}

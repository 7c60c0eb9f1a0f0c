//! `manifest.json` in a pulled model's folder: where it came from, and what each file is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

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
    /// The manifest of the model in `folder`; none for a model that somebody put there, or where it can't be read.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        Self::find(folder).ok().flatten()
    }

    /// The same, where one that can't be read is not none.
    pub(crate) fn find(folder: &Path) -> io::Result<Option<Self>> {
        let file = folder.join(FILE);
        let read = fs::metadata(&file)
            .and_then(|it| if it.len() > BYTES_MAX { Ok(Vec::new()) } else { fs::read(&file) });
        match read {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(err),
        }
    }

    /// The first file that is not as long as it was, in a sentence. An error: a file can't be looked at, which is named.
    pub(crate) fn damage(&self, folder: &Path) -> Result<Option<String>, (PathBuf, io::Error)> {
        for it in &self.files {
            let path = folder.join(&it.name);
            let length = match fs::metadata(&path) {
                Ok(meta) => meta.len(),
                Err(err) if err.kind() == io::ErrorKind::NotFound => 0,
                Err(err) => return Err((path, err)),
            };
            if length != it.bytes {
                return Ok(Some(format!(
                    "{}: it has {length} bytes, but had {} when it was pulled; pull the model again",
                    it.name, it.bytes
                )));
            }
        }
        Ok(None)
    }

    /// Which revision it is, by its files' content; what an endpoint is pinned to.
    pub(crate) fn pin(&self) -> String {
        let mut files: Vec<_> = self.files.iter().map(|it| (it.name.as_str(), it.sha256.as_str())).collect();
        files.sort_unstable();
        let mut sum = Sha256::new();
        for (name, sha256) in files {
            sum.update(format!("{name}\n{sha256}\n"));
        }
        let sum: String = sum.finalize().iter().take(16).map(|it| format!("{it:02x}")).collect();
        format!("{}:{sum}", self.commit)
    }

    /// Where people can read about it.
    pub(crate) fn link(&self) -> String {
        format!("{}/{}/tree/{}", self.hub.trim_end_matches('/'), self.model, self.commit)
    }
}

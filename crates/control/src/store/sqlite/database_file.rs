//! Whether the open database still is the file at its path. Somebody may remove it or put another in its place while it
//! is open: what is written then is gone with the next start.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// A file and where it was when it was opened.
#[derive(Clone, Debug)]
pub(super) struct DatabaseFile {
    pub(super) path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
}

impl DatabaseFile {
    /// Of a file that is there.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let meta = std::fs::metadata(path)?;
        Ok(Self { path: path.to_owned(), file: (meta.dev(), meta.ino()) })
    }

    /// Refuses if the path names no file or another one by now. What can't be looked at is left to the database.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let is_gone = match Self::of(&self.path) {
            Ok(now) => now.file != self.file,
            Err(err) => err.kind() == io::ErrorKind::NotFound,
        };
        if is_gone { Err(StoreError::Gone { path: self.path.clone() }) } else { Ok(()) }
    }
}

//! A disk that hangs, as far as a reader can tell: a file that nobody can open until it is let go of.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};

/// Whoever opens this file waits for as long as the value lives. Ends with the file gone and nobody waiting.
pub(crate) struct Hang(PathBuf);

impl Hang {
    pub(crate) fn at(path: &Path) -> Self {
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        Self(path.to_owned())
    }
}

impl Drop for Hang {
    fn drop(&mut self) {
        // A writer lets those in who wait; they read nothing, and nobody new comes.
        let writer = fs::File::options().read(true).write(true).open(&self.0);
        let _ = fs::remove_file(&self.0);
        drop(writer);
    }
}

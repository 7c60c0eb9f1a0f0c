//! The folders of planes, and what a sweep that was cut short left on some.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::plane::signal;
use crate::snapshot;

const PREFIX: &str = "dedi-kill-";
const KEPT: &str = "kept";

/// In memory: a kill loses nothing that was written, and thousands of syncs cost nothing.
fn base() -> &'static Path {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory } else { Path::new("/tmp") }
}

/// A new one, which carries the pid of this sweep.
pub(crate) fn new() -> TempDir {
    let prefix = format!("{PREFIX}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(base()).unwrap()
}

/// It stays, also when the next sweep looks for what this one left.
pub(crate) fn keep(folder: &mut TempDir) -> PathBuf {
    std::fs::write(folder.path().join(KEPT), "").unwrap();
    folder.disable_cleanup(true);
    folder.path().to_owned()
}

/// Ends what stands on folders of sweeps that are over, and removes those that nobody wanted to look at. A sweep
/// that was killed can't do that itself, and its replicas outlive it, as they should.
pub(crate) fn clear_of_the_dead() {
    for entry in std::fs::read_dir(base()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|it| it.strip_prefix(PREFIX)?.split('-').next()?.parse().ok());
        if owner.is_none_or(snapshot::is_alive) {
            continue;
        }
        for pid in snapshot::all_of(&entry.path()) {
            signal(pid, Signal::KILL);
        }
        if !entry.path().join(KEPT).exists() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

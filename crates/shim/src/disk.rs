//! What an engine has in its folder. No quota is asked of the file system, which may have none: the folder is looked at
//! again and again, and an engine that has more there than it may is ended before it fills the host's disk. What it
//! can write between two looks is bounded by the disk's speed; one file, by the kernel.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit};

use crate::identity::{self, ProcessId};

/// Between two looks.
const LOOK_DELAY: Duration = Duration::from_secs(1);
/// Between two looks at files that have no name any more, for which all of the engine's descriptors are gone through.
const NAMELESS_EVERY: u32 = 5;
/// What a file counts at least: it costs that much, also where it is empty.
const FILE_BYTES_MIN: u64 = 4 << 10;
/// What one block is, whatever the file system's own are.
const BLOCK_BYTES: u64 = 512;

/// The folder's size, and how much of it is allowed.
pub(crate) struct Disk {
    folder: PathBuf,
    bytes_max: u64,
    /// `None` once it was too much.
    look_at: Option<Instant>,
    n_looks: u32,
}

impl Disk {
    pub(crate) fn new(folder: PathBuf, bytes_max: u64) -> Self {
        Self { folder, bytes_max, look_at: Some(Instant::now() + LOOK_DELAY), n_looks: 0 }
    }

    /// When to look again.
    pub(crate) fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// Whether it was too much.
    pub(crate) fn is_full(&self) -> bool {
        self.look_at.is_none()
    }

    /// Looks, if it is time; a sentence if it is too much.
    pub(crate) fn look(&mut self, engine: i32) -> Option<String> {
        let now = Instant::now();
        if self.look_at.is_none_or(|it| it > now) {
            return None;
        }
        self.look_at = Some(now + LOOK_DELAY);
        let mut bytes = bytes_in(&self.folder, self.bytes_max);
        if self.n_looks.is_multiple_of(NAMELESS_EVERY) {
            bytes = bytes.saturating_add(nameless_bytes(engine, &self.folder));
        }
        self.n_looks = self.n_looks.wrapping_add(1);
        if bytes <= self.bytes_max {
            return None;
        }
        self.look_at = None;
        let (has, most) = (bytes >> 20, self.bytes_max >> 20);
        Some(format!("its folder holds {has} MiB, more than runtime.engine_disk_mib, {most}: ended"))
    }
}

/// Forbids the engine to write longer files than its folder may hold; what it starts inherits that.
pub(crate) fn limit_files(engine: i32, bytes_max: u64) {
    let Some(pid) = Pid::from_raw(engine) else { return };
    let own = rustix::process::getrlimit(Resource::Fsize).maximum;
    let most = own.map_or(bytes_max, |it| it.min(bytes_max));
    // One that has gone by now writes nothing.
    let _ = rustix::process::prlimit(
        Some(pid),
        Resource::Fsize,
        Rlimit { current: Some(most), maximum: Some(most) },
    );
}

fn bytes_of(file: &Metadata) -> u64 {
    (file.blocks() * BLOCK_BYTES).max(FILE_BYTES_MIN)
}

/// What is in the folder, or more than `enough`. What can't be read, or goes meanwhile, counts nothing.
fn bytes_in(folder: &Path, enough: u64) -> u64 {
    let mut bytes = 0_u64;
    // Files with several names count once.
    let mut seen = HashSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(path) = folders.pop() {
        let Ok(entries) = fs::read_dir(path) else { continue };
        for entry in entries.flatten() {
            // Of a link itself, not of what it leads to.
            let Ok(it) = entry.metadata() else { continue };
            if it.is_dir() {
                folders.push(entry.path());
            }
            if it.nlink() < 2 || it.is_dir() || seen.insert((it.dev(), it.ino())) {
                bytes = bytes.saturating_add(bytes_of(&it));
            }
            if bytes > enough {
                return bytes;
            }
        }
    }
    bytes
}

/// Files on the folder's disk that the engine's processes have open and that have no name any more.
fn nameless_bytes(engine: i32, folder: &Path) -> u64 {
    let Ok(disk) = fs::metadata(folder).map(|it| it.dev()) else { return 0 };
    let family = ProcessId::of(engine).ok().flatten().map(identity::family);
    let mut seen = HashSet::new();
    let mut bytes = 0_u64;
    for process in family.into_iter().flatten().flatten() {
        let Ok(open) = fs::read_dir(format!("/proc/{}/fd", process.pid)) else { continue };
        for descriptor in open.flatten() {
            let Ok(it) = fs::metadata(descriptor.path()) else { continue };
            if it.is_file() && it.nlink() == 0 && it.dev() == disk && seen.insert(it.ino()) {
                bytes = bytes.saturating_add(bytes_of(&it));
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_pid() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    fn look(folder: &Path, bytes_max: u64) -> Option<String> {
        let mut disk = Disk::new(folder.to_owned(), bytes_max);
        assert!(disk.look(own_pid()).is_none(), "it is not time yet");
        disk.look_at = Some(Instant::now());
        let found = disk.look(own_pid());
        assert_eq!(disk.is_full(), found.is_some());
        found
    }

    #[test]
    fn a_folder_counts_what_is_in_it_once_and_links_lead_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join("file"), vec![1; 100 << 10]).unwrap();
        fs::hard_link(below.join("file"), folder.path().join("again")).unwrap();
        std::os::unix::fs::symlink("/usr", folder.path().join("usr")).unwrap();
        let bytes = bytes_in(folder.path(), u64::MAX);
        assert!((100 << 10..200 << 10).contains(&bytes), "{bytes}");
        assert_eq!(look(folder.path(), 200 << 10), None);
        assert!(look(folder.path(), 90 << 10).unwrap().contains("runtime.engine_disk_mib"));
    }

    #[test]
    fn empty_files_are_not_free() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..100 {
            fs::write(folder.path().join(n.to_string()), "").unwrap();
        }
        assert_eq!(bytes_in(folder.path(), u64::MAX), 100 * FILE_BYTES_MIN);
    }

    #[test]
    fn files_without_a_name_count_as_long_as_they_are_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = fs::File::create(&path).unwrap();
        std::io::Write::write_all(&mut file, &vec![1; 1 << 20]).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(bytes_in(folder.path(), u64::MAX), 0);
        assert!(look(folder.path(), 512 << 10).is_some());
        drop(file);
        assert_eq!(look(folder.path(), 512 << 10), None);
    }
}

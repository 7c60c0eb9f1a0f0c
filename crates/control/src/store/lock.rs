//! One server per data folder: an advisory lock on a file, held as long as the value lives. The lock belongs
//! to the open file, not to the process, so a successor that is given the file holds the same lock.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Why the folder can't be held.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another server does.
    #[error("another dedi server{holder} runs on the data folder {}; stop it, or choose another with --data-dir", folder.display())]
    Held {
        /// The folder.
        folder: PathBuf,
        /// ` (process 123)`, if known.
        holder: String,
    },
    /// The lock file can't be used.
    #[error("the lock file {} can't be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The right to be the server of a data folder.
#[derive(Debug)]
pub struct DataLock(File);

impl DataLock {
    /// Takes the lock, or says who has it.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io { path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let _ = (&file).take(32).read_to_string(&mut text);
                let holder =
                    text.trim().parse::<u32>().map_or(String::new(), |pid| format!(" (process {pid})"));
                let folder = path.parent().unwrap_or(path).to_owned();
                return Err(LockError::Held { folder, holder });
            }
            Err(err) => return Err(io(err.into())),
        }
        // Only a hint for people: the lock is what counts.
        let note = |file: &mut File| -> io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        note(&mut file).map_err(io)?;
        Ok(Self(file))
    }

    /// The lock as a descriptor, to be sent to a successor. The lock is kept until the last copy is closed.
    pub fn into_fd(self) -> OwnedFd {
        self.0.into()
    }

    /// The lock around a descriptor that a predecessor sent.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_told_who_holds_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.lock");
        let held = DataLock::acquire(&path).unwrap();
        let said = DataLock::acquire(&path).unwrap_err().to_string();
        assert!(said.contains(&format!("process {}", std::process::id())), "{said}");
        let moved = DataLock::from_fd(held.into_fd());
        assert!(DataLock::acquire(&path).is_err(), "a handed over lock is still held");
        drop(moved);
        assert!(DataLock::acquire(&path).is_ok());
    }
}

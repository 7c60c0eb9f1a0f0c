//! One server per data folder: an advisory lock on a file, held as long as the value lives. The file says who holds it,
//! for people; the lock is what counts.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};

/// Why the folder can't be held.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another server does.
    #[error("the data folder {} has a server: {holder}; or choose another folder with --data-dir", folder.display())]
    Held {
        /// The folder.
        folder: PathBuf,
        /// Process that holds the lock.
        holder: Holder,
    },
    /// The lock file can't be used.
    #[error("the lock file {} can't be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Error of the file system.
        source: io::Error,
    },
}

/// Most of a lock file that is read.
const HOLDER_BYTES_MAX: u64 = 64;

/// Who holds a data folder, as its lock file says. Prints as what it does, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process, if it is written down.
    pub pid: Option<u32>,
    /// How much longer its running requests may take at most, if it is ending.
    pub ends_in: Option<Duration>,
    /// It was stopped by a signal.
    pub is_stopped: bool,
}

impl Holder {
    /// A server of which only the process is known.
    pub fn process(pid: Option<u32>) -> Self {
        Self { pid, ends_in: None, is_stopped: pid.is_some_and(is_stopped) }
    }

    /// Who wrote itself down in the lock file at `path`. It may have been killed since.
    pub fn written(path: &Path) -> Option<Self> {
        let mut text = String::new();
        File::open(path).ok()?.take(HOLDER_BYTES_MAX).read_to_string(&mut text).ok()?;
        Some(Self::read(&text)).filter(|it| it.pid.is_some())
    }

    fn read(text: &str) -> Self {
        let mut lines = text.lines();
        let pid = lines.next().and_then(|it| it.trim().parse().ok());
        let ends_at =
            lines.next().and_then(|it| it.strip_prefix("ends by ")).and_then(|it| it.trim().parse().ok());
        let ends_in =
            ends_at.map(|it: u64| (UNIX_EPOCH + Duration::from_secs(it)).duration_since(SystemTime::now()));
        Self { ends_in: ends_in.map(Result::unwrap_or_default), ..Self::process(pid) }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(pid) = self.pid else { return f.write_str("a process that is just starting or ending") };
        if self.is_stopped {
            return write!(f, "process {pid}, which a signal has stopped; `kill -CONT {pid}` lets it go on");
        }
        match self.ends_in {
            Some(left) => write!(
                f,
                "process {pid}, which is ending: its running requests may take {} s more; wait for its end",
                left.as_secs()
            ),
            None => write!(
                f,
                "process {pid}; replace it with `dedi serve --takeover`, or end it with `dedi down --keep-replicas`"
            ),
        }
    }
}

/// Whether a signal has stopped the process, or a debugger has.
fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before it, in parentheses, may hold anything.
    let state = stat.rsplit_once(')').and_then(|(_, it)| it.trim_start().chars().next());
    matches!(state, Some('T' | 't'))
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
                let _ = (&file).take(HOLDER_BYTES_MAX).read_to_string(&mut text);
                let folder = path.parent().unwrap_or(path).to_owned();
                return Err(LockError::Held { folder, holder: Holder::read(&text) });
            }
            Err(err) => return Err(io(err.into())),
        }
        note(&mut file, "").map_err(io)?;
        Ok(Self(file))
    }

    /// Writes down that the holder is ending, and how long its running requests may take.
    pub(super) fn write_ending(&mut self, within: Duration) {
        let by = SystemTime::now() + within;
        let by = by.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if let Err(err) = note(&mut self.0, &format!("ends by {by}\n")) {
            tracing::debug!(error = %err, "the lock file can't be written");
        }
    }
}

impl Drop for DataLock {
    fn drop(&mut self) {
        // The process may be another's soon, and somebody may signal what is written here.
        let _ = self.0.set_len(0);
    }
}

fn note(file: &mut File, more: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{}\n{more}", std::process::id()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_told_who_holds_the_folder_and_how_long() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.lock");
        let mut held = DataLock::acquire(&path).unwrap();
        let said = DataLock::acquire(&path).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(said.contains(&format!("process {pid};")) && said.contains("--takeover"), "{said}");
        held.write_ending(Duration::from_secs(100));
        let said = DataLock::acquire(&path).unwrap_err().to_string();
        assert!(said.contains(&format!("process {pid}, which is ending")), "{said}");
        assert!(said.contains("may take 99 s") || said.contains("may take 98 s"), "{said}");
        drop(held);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "", "a process that is gone is not named");
        assert!(DataLock::acquire(&path).is_ok());
    }
}

//! Room on disk for the record of an end, taken while there is some: an engine that ends because the disk is full,
//! or while it is, must not be taken for one that was lost.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use dedi_domain::Exit;
use dedi_domain::replica::LOG_TAIL_LINES_MAX;
use dedi_replica_logs::TAIL_LINE_BYTES_MAX;

use crate::exit_record::ExitRecord;

/// All lines of a tail at their longest, and the rest of the record. One whose lines are longer still for being
/// escaped lacks the oldest ones.
const BYTES: usize = (LOG_TAIL_LINES_MAX + 28) * TAIL_LINE_BYTES_MAX;

/// Makes the file. Its bytes are written, not left out: a file with holes has no room of its own.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    let made = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(&vec![b' '; BYTES]).and_then(|()| file.sync_all()));
    if made.is_err() {
        // A part of it would only take room from others.
        let _ = fs::remove_file(path);
    }
    made
}

/// Writes the record over the file, which needs no more room, and cuts off the rest.
pub(crate) fn write(path: &Path, exit: &Exit) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let bytes = fitting(exit.clone(), BYTES)?;
    file.write_all(&bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}

/// The record without as many of the oldest lines as it takes.
fn fitting(mut exit: Exit, room: usize) -> io::Result<Vec<u8>> {
    loop {
        let bytes = serde_json::to_vec_pretty(&ExitRecord::new(&exit)).map_err(io::Error::other)?;
        if bytes.len() <= room {
            return Ok(bytes);
        }
        if exit.log_tail.is_empty() {
            return Err(ErrorKind::FileTooLarge.into());
        }
        exit.log_tail.remove(0);
    }
}

#[cfg(test)]
mod tests {
    use dedi_domain::FailureCause;

    use super::*;
    use crate::clock;

    fn exit(line: &str) -> Exit {
        let log_tail = (0..LOG_TAIL_LINES_MAX).map(|at| format!("{at:3} {line}")).collect();
        Exit { code: Some(1), signal: None, cause: FailureCause::EngineExited, at: clock::now(), log_tail }
    }

    fn written(exit: &Exit) -> Exit {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reserve");
        make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), BYTES as u64);
        write(&path, exit).unwrap();
        serde_json::from_slice::<ExitRecord>(&fs::read(path).unwrap()).unwrap().read()
    }

    #[test]
    fn a_whole_tail_of_the_longest_lines_has_room() {
        let exit = exit(&"x".repeat(TAIL_LINE_BYTES_MAX - 4));
        assert_eq!(written(&exit), exit);
    }

    #[test]
    fn a_tail_that_needs_more_loses_its_oldest_lines() {
        let exit = exit(&"\u{1}".repeat(TAIL_LINE_BYTES_MAX - 4));
        let kept = written(&exit).log_tail;
        assert!(kept.len() > 10 && kept.len() < LOG_TAIL_LINES_MAX, "{}", kept.len());
        assert!(exit.log_tail.ends_with(&kept));
    }

    #[test]
    fn without_a_reserve_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        assert!(write(&dir.path().join("reserve"), &exit("x")).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

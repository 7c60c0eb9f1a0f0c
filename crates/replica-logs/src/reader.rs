//! Reads a launch's log across the files it is rotated through, as if they were one: by its end, or on from a place.
//! Only whole lines are given out. Memory is bounded by what the caller asks for.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::str::FromStr;
use std::time::UNIX_EPOCH;

use crate::writer::numbered;

/// Read at once on the way from the end to the beginning.
const BLOCK_BYTES: u64 = 64 << 10;
/// A line that is just being written is shorter than this; what is longer and has no end is given out as it is.
const UNFINISHED_BYTES_MAX: u64 = 16 << 10;
/// Looks at the files until one saw no rotation in the midst of it.
const TRIES_MAX: u32 = 16;
/// Stands where a reader was overtaken by the log's rotation.
const MISSING: &[u8] = b"[dedi] lines are missing here: the log was rotated faster than it was read\n";

/// A place between two lines of a log. Stays right when the log is rotated. It prints as one word, and is read from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCursor {
    file: FileId,
    offset: u64,
}

/// Which file, whatever its name is by now. The number of a removed file is given to the next one at once, so the
/// moment at which a file was made belongs to it; 0 where the file system does not know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct FileId {
    inode: u64,
    made_at_ns: u64,
}

/// A part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileChunk {
    /// What was written.
    pub bytes: Vec<u8>,
    /// Where to go on.
    pub next: FileCursor,
}

/// A text that is no [`FileCursor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no place in a log")]
pub struct NoCursor;

struct Part {
    file: File,
    id: FileId,
    len: u64,
}

/// The last `lines_max` lines, at most `bytes_max` bytes; `None` if there is no such log. `is_over` says that nothing
/// more is written, so that a last line without an end is all there is of it.
pub(super) fn tail(
    path: &Path,
    lines_max: usize,
    bytes_max: usize,
    is_over: bool,
) -> io::Result<Option<FileChunk>> {
    let parts = parts(path)?;
    let Some(newest) = parts.last() else { return Ok(None) };
    let newest_end = if is_over { newest.len } else { newest.whole_lines_end()? };
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    let (mut n_ends, mut bytes_left) = (0, bytes_max as u64);
    let mut begins_inside = false;
    'parts: for (at, part) in parts.iter().enumerate().rev() {
        let is_newest = at + 1 == parts.len();
        let mut start = if is_newest { newest_end } else { part.len };
        if !is_newest && !part.ends_a_line()? {
            blocks.push(b"\n".to_vec());
        }
        while start > 0 {
            if n_ends > lines_max || bytes_left == 0 {
                begins_inside = true;
                break 'parts;
            }
            let n_bytes = BLOCK_BYTES.min(start).min(bytes_left);
            start -= n_bytes;
            bytes_left -= n_bytes;
            let block = part.read(start, n_bytes)?;
            n_ends += block.iter().filter(|it| **it == b'\n').count();
            blocks.push(block);
        }
    }
    let bytes: Vec<u8> = blocks.into_iter().rev().flatten().collect();
    let from = tail_start(&bytes, lines_max, begins_inside);
    let next = FileCursor { file: newest.id, offset: newest_end };
    Ok(Some(FileChunk { bytes: bytes.get(from..).unwrap_or_default().to_vec(), next }))
}

/// What was written after `from`, at most about `bytes_max` bytes; empty when nothing was. Where files were removed
/// that had not been read, a line says so. The default cursor is the log's beginning. `is_over` as for [`tail`].
pub(super) fn follow(
    path: &Path,
    from: FileCursor,
    bytes_max: usize,
    is_over: bool,
) -> io::Result<FileChunk> {
    let parts = parts(path)?;
    let known = parts.iter().position(|it| it.id == from.file);
    let known = match known {
        Some(at) if parts.get(at).is_some_and(|it| it.has(from.offset)) => Some(at),
        Some(_) | None => None,
    };
    let (first, mut offset) = known.map_or((0, 0), |at| (at, from.offset));
    let is_lost = known.is_none() && from != FileCursor::default() && !parts.is_empty();
    let mut bytes = if is_lost { MISSING.to_vec() } else { Vec::new() };
    let mut next = from;
    for (at, part) in parts.iter().enumerate().skip(first) {
        let is_written = at + 1 == parts.len() && !is_over;
        let mut read = part.read(offset, bytes_max as u64)?;
        let is_all = read.len() < bytes_max;
        let whole = read.iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1);
        if is_written || (!is_all && whole > 0) {
            let is_endless = whole == 0 && read.len() as u64 >= UNFINISHED_BYTES_MAX.min(bytes_max as u64);
            read.truncate(if is_endless { read.len() } else { whole });
        }
        next = FileCursor { file: part.id, offset: offset + read.len() as u64 };
        let lacks_end = is_all && !is_written && whole < read.len() && at + 1 < parts.len();
        bytes.append(&mut read);
        if lacks_end {
            bytes.push(b'\n');
        }
        if !bytes.is_empty() {
            break;
        }
        offset = 0;
    }
    Ok(FileChunk { bytes, next })
}

/// The files of a log, oldest first.
fn parts(path: &Path) -> io::Result<Vec<Part>> {
    let mut found = Vec::new();
    for _ in 0..TRIES_MAX {
        found = open_all(path)?;
        let now = match fs::metadata(path) {
            Ok(meta) => Some(FileId::of(&meta)),
            Err(err) if err.kind() == ErrorKind::NotFound => None,
            Err(err) => return Err(err),
        };
        if now.is_some() && now == found.last().map(|it| it.id) {
            break;
        }
        if now.is_none() && found.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// The newest is opened first: a rotation in between shows a file twice, and never hides one.
fn open_all(path: &Path) -> io::Result<Vec<Part>> {
    let mut newest_first: Vec<Part> = Vec::new();
    let mut n_absent = 0;
    for n in 0.. {
        let name = if n == 0 { path.to_owned() } else { numbered(path, n) };
        match File::open(name) {
            Ok(file) => {
                let meta = file.metadata()?;
                let id = FileId::of(&meta);
                newest_first.retain(|it| it.id != id);
                newest_first.push(Part { file, id, len: meta.len() });
                n_absent = 0;
            }
            // In the midst of a rotation one name is free.
            Err(err) if err.kind() == ErrorKind::NotFound && n_absent == 0 => n_absent = 1,
            Err(err) if err.kind() == ErrorKind::NotFound => break,
            Err(err) => return Err(err),
        }
    }
    newest_first.reverse();
    Ok(newest_first)
}

impl FileId {
    fn of(meta: &Metadata) -> Self {
        let made_at = meta.created().ok().and_then(|it| it.duration_since(UNIX_EPOCH).ok());
        let made_at_ns = made_at.and_then(|it| u64::try_from(it.as_nanos()).ok()).unwrap_or(0);
        Self { inode: meta.ino(), made_at_ns }
    }
}

impl Part {
    fn read(&self, offset: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(bytes_max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn ends_a_line(&self) -> io::Result<bool> {
        Ok(self.len == 0 || self.byte(self.len - 1)? == Some(b'\n'))
    }

    /// Whether the place can be one of this file. Without the moment of its making, its number alone may be that of
    /// another file, now removed; then a line has to begin there, as it does at the places that are given out.
    fn has(&self, offset: u64) -> bool {
        let is_certain = self.id.made_at_ns != 0 || offset == 0 || offset == self.len;
        offset <= self.len && (is_certain || matches!(self.byte(offset - 1), Ok(Some(b'\n'))))
    }

    fn byte(&self, at: u64) -> io::Result<Option<u8>> {
        let mut byte = [0];
        Ok((self.file.read_at(&mut byte, at)? == 1).then_some(byte[0]))
    }

    /// Where the last whole line ends.
    fn whole_lines_end(&self) -> io::Result<u64> {
        let start = self.len.saturating_sub(UNFINISHED_BYTES_MAX);
        let end = self.read(start, self.len - start)?;
        match end.iter().rposition(|it| *it == b'\n') {
            Some(at) => Ok(start + at as u64 + 1),
            None if start == 0 => Ok(0),
            None => Ok(self.len),
        }
    }
}

impl fmt::Display for FileCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-{:x}", self.file.inode, self.file.made_at_ns, self.offset)
    }
}

impl FromStr for FileCursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let is_written = |it: &str| {
            let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            (1..=16).contains(&it.len()) && it.bytes().all(is_digit)
        };
        let number = |it: &str| u64::from_str_radix(it, 16).ok().filter(|_| is_written(it));
        let mut numbers = text.splitn(3, '-').map(|it| number(it).ok_or(NoCursor));
        let mut number = || numbers.next().unwrap_or(Err(NoCursor));
        Ok(Self { file: FileId { inode: number()?, made_at_ns: number()? }, offset: number()? })
    }
}

/// Where the last `lines` lines begin. When the bytes begin inside a line, that line is left out.
fn tail_start(bytes: &[u8], lines: usize, begins_inside: bool) -> usize {
    let ends = bytes.iter().enumerate().rev().filter(|(_, it)| **it == b'\n').map(|(at, _)| at + 1);
    let first_whole = if begins_inside {
        bytes.iter().position(|it| *it == b'\n').map_or(bytes.len(), |at| at + 1)
    } else {
        0
    };
    if lines == 0 {
        return bytes.len();
    }
    let skip_last = usize::from(bytes.last() == Some(&b'\n'));
    ends.skip(skip_last).nth(lines - 1).unwrap_or(0).max(first_whole)
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;

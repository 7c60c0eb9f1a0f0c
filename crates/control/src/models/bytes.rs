//! Reads numbers and texts out of a file that may lie: every count is held against the bytes that are left
//! before anything is read or allocated.

use std::io::{BufReader, Read, Seek};

/// A file and how far it has been read.
pub(super) struct Source<R> {
    input: BufReader<R>,
    at: u64,
    n_bytes: u64,
}

/// What is wrong with the file, as the end of a sentence.
pub(super) type Result<T> = std::result::Result<T, String>;

impl<R: Read + Seek> Source<R> {
    pub(super) fn new(input: R, n_bytes: u64) -> Self {
        Self { input: BufReader::with_capacity(1 << 16, input), at: 0, n_bytes }
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn left(&self) -> u64 {
        self.n_bytes.saturating_sub(self.at)
    }

    /// Refuses a count of things of at least `each` bytes that the rest of the file can't hold.
    pub(super) fn check_count(&self, n: u64, each: u64, what: &str) -> Result<()> {
        if n.checked_mul(each.max(1)).is_some_and(|it| it <= self.left()) {
            Ok(())
        } else {
            Err(format!("it claims {n} {what}, which is more than fits into the file"))
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        let n = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        self.check_count(n, 1, "bytes")?;
        self.input.read_exact(buffer).map_err(|err| format!("it ends too early ({err})"))?;
        self.at += n;
        Ok(())
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut buffer = [0; N];
        self.fill(&mut buffer)?;
        Ok(buffer)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn skip(&mut self, n: u64) -> Result<()> {
        self.check_count(n, 1, "bytes")?;
        let by = i64::try_from(n).map_err(|_too_far| "it is too large".to_owned())?;
        // Short skips stay inside the buffer; vocabularies are a hundred thousand of them.
        self.input.seek_relative(by).map_err(|err| format!("it can't be read ({err})"))?;
        self.at += n;
        Ok(())
    }

    /// `n` bytes, which must be at most `most`.
    pub(super) fn bytes(&mut self, n: u64, most: u64) -> Result<Vec<u8>> {
        self.check_count(n, 1, "bytes")?;
        if n > most {
            return Err(format!("a part of {n} bytes is longer than the {most} that are sensible"));
        }
        let mut buffer = vec![0; usize::try_from(n).map_err(|err| err.to_string())?];
        self.fill(&mut buffer)?;
        Ok(buffer)
    }

    pub(super) fn text(&mut self, most: u64) -> Result<String> {
        let n = self.u64()?;
        let bytes = self.bytes(n, most)?;
        String::from_utf8(bytes).map_err(|_not_text| "a name in it is not UTF-8".to_owned())
    }
}

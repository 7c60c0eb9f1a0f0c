//! Reads numbers and bytes out of a file that may lie: every count is held against the bytes that are left
//! before anything is read or allocated.

use std::io::{BufReader, Read};

use super::Flaw;

/// A file and how far it has been read.
pub(super) struct Source<R> {
    input: BufReader<R>,
    at: u64,
    n_bytes: u64,
}

/// What is wrong with the file, as the end of a sentence.
pub(super) type Result<T> = std::result::Result<T, Flaw>;

impl<R: Read> Source<R> {
    pub(super) fn new(input: R, n_bytes: u64) -> Self {
        Self { input: BufReader::with_capacity(1 << 16, input), at: 0, n_bytes }
    }

    pub(super) fn left(&self) -> u64 {
        self.n_bytes.saturating_sub(self.at)
    }

    /// Refuses a count of things of at least `each` bytes that the rest of the file can't hold.
    fn check_count(&self, n: u64, each: u64, what: &str) -> Result<()> {
        if n.checked_mul(each.max(1)).is_some_and(|it| it <= self.left()) {
            Ok(())
        } else {
            Err(Flaw::Wrong(format!("it claims {n} {what}, which is more than fits into the file")))
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        let n = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        self.check_count(n, 1, "bytes")?;
        self.input.read_exact(buffer).map_err(|err| Flaw::of_read(&err))?;
        self.at += n;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut buffer = [0; N];
        self.fill(&mut buffer)?;
        Ok(buffer)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// `n` bytes, which must be at most `most`.
    pub(super) fn bytes(&mut self, n: u64, most: u64) -> Result<Vec<u8>> {
        self.check_count(n, 1, "bytes")?;
        if n > most {
            return Err(Flaw::Wrong(format!(
                "a part of {n} bytes is longer than the {most} that are sensible"
            )));
        }
        let mut buffer = vec![0; usize::try_from(n).map_err(|err| err.to_string())?];
        self.fill(&mut buffer)?;
        Ok(buffer)
    }
}

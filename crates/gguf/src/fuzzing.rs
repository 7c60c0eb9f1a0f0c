//! What must hold of any bytes that are given out as a model file.

use std::io::Cursor;

use crate::{beginning, read};

/// A header that is read lies within its file, and its beginning says the same.
pub fn gguf(input: &[u8]) {
    let n_bytes = input.len() as u64;
    let begins = beginning(input);
    let Ok(header) = read(Cursor::new(input), n_bytes) else { return };
    assert_eq!(begins, header.metadata);
    assert!(header.n_tensors <= n_bytes, "{} tensors in {n_bytes} bytes", header.n_tensors);
    // Cut anywhere it is refused, or says no more than the whole.
    let half = input.get(..input.len() / 2).unwrap_or_default();
    let cut = beginning(half);
    assert!(cut.iter().all(|(name, value)| header.metadata.get(name) == Some(value)), "{cut:?}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn fuzz_corpus_of_gguf_holds() {
        dedi_testing::replay("gguf", super::gguf);
    }
}

//! Reads the header of a GGUF file (version 2 or 3): its metadata and the sizes of its tensors.
//!
//! Every length and count is checked against the file before it is used, memory stays bounded,
//! and a file that ends too early or points outside itself is refused with a sentence. No tensor is read, so
//! it is not promised that the weights make sense.

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod kind;
mod reader;
mod tensor_type;

use std::collections::BTreeMap;
use std::io::{self, Read, Seek};

pub use crate::kind::Kind;
use crate::reader::Reader;

/// Why a file is no usable model, as the end of a sentence about it.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It could not be read.
    #[error("it can't be read ({0})")]
    Read(#[source] io::Error),
    /// It is no GGUF file.
    #[error("it does not begin with the letters GGUF")]
    Magic,
    /// It ends before its header or its weights do.
    #[error("it is incomplete: it has {have} bytes and {what} needs {need}")]
    Truncated {
        /// The part that does not fit.
        what: String,
        /// Offset in bytes where it would end.
        need: u64,
        /// The file's size in bytes.
        have: u64,
    },
    /// Its header contradicts itself or a bound.
    #[error("{0}")]
    Damaged(String),
}

/// What is kept of a metadata value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A whole number that is not negative, or a truth value.
    Number(u64),
    /// A short text.
    Text(String),
    /// A list: how many elements, and the largest where they are few numbers, as they are per layer.
    List(u64, Option<u64>),
}

/// A file's header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// What is kept of the metadata; long texts, fractions and negative numbers are not.
    pub metadata: BTreeMap<String, Value>,
    /// Size of the weights in bytes.
    pub tensor_bytes: u64,
    /// How many tensors there are.
    pub n_tensors: u64,
    /// Whether one belongs to the first layer.
    pub has_first_layer: bool,
    /// Whether one belongs to a layer for speculative decoding only.
    pub has_draft_layer: bool,
}

impl Header {
    /// The family of the model, such as `llama`; empty when it is not named.
    pub fn architecture(&self) -> &str {
        match self.metadata.get("general.architecture") {
            Some(Value::Text(it)) => it,
            Some(Value::Number(_) | Value::List(..)) | None => "",
        }
    }

    /// The number called `<architecture>.<key>`; of a list with one for each layer the largest.
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.metadata.get(&format!("{}.{key}", self.architecture())) {
            Some(Value::Number(it) | Value::List(_, Some(it))) => Some(*it),
            Some(Value::Text(_) | Value::List(_, None)) | None => None,
        }
    }
}

/// Reads the header of a file of `n_bytes`.
///
/// # Errors
/// When the file can't be the model that its header describes.
pub fn read(input: impl Read + Seek, n_bytes: u64) -> Result<Header, Fault> {
    Reader::new(input, n_bytes).header()
}

/// The metadata entries that the first bytes of a file hold completely; none if it is no GGUF file. The entries that
/// identify the file's kind come first.
pub fn beginning(bytes: &[u8]) -> BTreeMap<String, Value> {
    let len = bytes.len() as u64;
    Reader::new(io::Cursor::new(bytes), len).beginning()
}

#[cfg(test)]
mod tests;

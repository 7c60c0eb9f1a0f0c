//! Checks a GGUF file, and its sisters when it is split, before the inference library sees them: one that is
//! cut off, damaged or something else is refused with its path. Not promised: that the weights make sense.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use dedi_gguf::{Fault, Value};

/// Why a file is not a usable model.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// It could not be opened or read.
    #[error("the model file {path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is no GGUF file.
    #[error("{path} is not a GGUF model: it does not begin with the letters GGUF")]
    Magic {
        /// The file.
        path: PathBuf,
    },
    /// It ends before its header or its weights do.
    #[error("{path} is incomplete: it has {have} bytes and {what} needs {need}; fetch it again")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: String,
        /// Where that would end.
        need: u64,
        /// Where the file ends.
        have: u64,
    },
    /// Its header contradicts itself or a bound.
    #[error("{path} is damaged or not meant for this engine: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// The parts of the header that the engine needs before loading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The family of the model, such as `llama`.
    pub architecture: String,
    /// Tokens the model was trained to attend to.
    pub context_length: u64,
    /// Transformer blocks.
    pub blocks: u64,
    /// Width of an embedding.
    pub embedding: u64,
    /// Attention heads.
    pub heads: u64,
    /// Heads with keys and values of their own.
    pub kv_heads: u64,
    /// Width of a key, when it is not `embedding / heads`.
    pub key_width: Option<u64>,
    /// Width of a value, likewise.
    pub value_width: Option<u64>,
    /// Bytes of weights.
    pub weights_bytes: u64,
}

impl Header {
    /// Bytes of keys and values for one token at `bits` per number; 0 when the header does not say.
    #[must_use]
    pub fn cache_bytes_per_token(&self, bits: u64) -> u64 {
        let width = self.embedding.checked_div(self.heads).unwrap_or(0);
        let numbers = self.key_width.unwrap_or(width).saturating_add(self.value_width.unwrap_or(width));
        let kv_heads = if self.kv_heads == 0 { self.heads } else { self.kv_heads };
        self.blocks.saturating_mul(kv_heads).saturating_mul(numbers).saturating_mul(bits) / 8
    }
}

/// Reads and checks the header of `path`, and of its sisters when the model is split into several files.
///
/// # Errors
/// When the file cannot be the model its header describes.
pub fn check(path: &Path) -> Result<Header, GgufError> {
    let (mut header, split) = check_one(path)?;
    for sister in sisters(path, split)? {
        let (part, _) = check_one(&sister)?;
        header.weights_bytes = header.weights_bytes.saturating_add(part.weights_bytes);
    }
    Ok(header)
}

fn check_one(path: &Path) -> Result<(Header, u64), GgufError> {
    let read = |source| GgufError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    let meta = file.metadata().map_err(read)?;
    if !meta.is_file() {
        return Err(GgufError::Damaged { path: path.to_owned(), what: "it is not a file".to_owned() });
    }
    let path = path.to_owned();
    let file = dedi_gguf::read(file, meta.len()).map_err(|fault| match fault {
        Fault::Read(source) => GgufError::Read { path: path.clone(), source },
        Fault::Magic => GgufError::Magic { path: path.clone() },
        Fault::Truncated { what, need, have } => {
            GgufError::Truncated { path: path.clone(), what, need, have }
        }
        Fault::Damaged(what) => GgufError::Damaged { path: path.clone(), what },
    })?;
    let number = |key| file.number(key).unwrap_or(0);
    let split = match file.metadata.get("split.count") {
        Some(Value::Number(it)) => *it,
        Some(Value::Text(_) | Value::List(..)) | None => 0,
    };
    if file.architecture().is_empty() && split < 2 {
        let what = "it does not say which architecture the model has".to_owned();
        return Err(GgufError::Damaged { path, what });
    }
    let header = Header {
        architecture: file.architecture().to_owned(),
        context_length: number("context_length"),
        blocks: number("block_count"),
        embedding: number("embedding_length"),
        heads: number("attention.head_count"),
        kv_heads: number("attention.head_count_kv"),
        key_width: file.number("attention.key_length"),
        value_width: file.number("attention.value_length"),
        weights_bytes: file.tensor_bytes,
    };
    Ok((header, split))
}

/// `name-00001-of-00003.gguf` has two sisters.
fn sisters(path: &Path, split: u64) -> Result<Vec<PathBuf>, GgufError> {
    if split < 2 {
        return Ok(Vec::new());
    }
    let wrong = |what: &str| GgufError::Damaged { path: path.to_owned(), what: what.to_owned() };
    let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
    let stem = name
        .strip_suffix(&format!("-of-{split:05}.gguf"))
        .and_then(|it| it.strip_suffix("-00001"))
        .ok_or_else(|| wrong("it is one part of several; name the first, …-00001-of-….gguf"))?;
    if split > 1024 {
        return Err(wrong("it claims to be split into more than 1024 files"));
    }
    Ok((2..=split).map(|part| path.with_file_name(format!("{stem}-{part:05}-of-{split:05}.gguf"))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(bytes: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let error = check(file.path()).unwrap_err().to_string();
        error.replace(&file.path().display().to_string(), "x.gguf")
    }

    #[test]
    fn a_file_that_is_no_model_is_named_with_what_is_wrong() {
        assert_eq!(error(b"<html>"), "x.gguf is not a GGUF model: it does not begin with the letters GGUF");
        assert_eq!(
            error(b"GGUF\x03\0\0\0"),
            "x.gguf is incomplete: it has 8 bytes and the number of tensors needs 16; fetch it again"
        );
        let mut nameless = b"GGUF\x03\0\0\0".to_vec();
        nameless.extend([0; 16]);
        assert_eq!(
            error(&nameless),
            "x.gguf is damaged or not meant for this engine: it does not say which architecture the model has"
        );
    }
}

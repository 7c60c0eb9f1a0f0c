//! Reads a GGUF file's header before the inference library sees the file.
//!
//! Promised: every length and count is checked against the file before it is believed, memory stays bounded,
//! and a file that ends too early or points outside itself is refused with a sentence. Not promised: that the
//! weights make sense.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

mod tensor_type;

use tensor_type::block_of;

const MAGIC: [u8; 4] = *b"GGUF";
// The largest published models have some thousands of tensors and some dozens of keys.
const TENSORS_MAX: u64 = 1 << 16;
const KEYS_MAX: u64 = 1 << 16;
const NAME_BYTES_MAX: u64 = 1 << 16;
// A value that is kept; tokenizer lists and chat templates are skipped, not kept.
const KEPT_BYTES_MAX: u64 = 1 << 12;
const ARRAY_DEPTH_MAX: u32 = 2;

/// Why a file is not a usable model.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// It could not be opened or read.
    #[error("the model file {path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
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

/// What the header says, as far as the engine asks before loading.
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
    let mut reader = Reader { path, input: BufReader::new(file), at: 0, len: meta.len() };
    reader.header()
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

struct Reader<'a> {
    path: &'a Path,
    input: BufReader<File>,
    at: u64,
    len: u64,
}

impl Reader<'_> {
    fn header(&mut self) -> Result<(Header, u64), GgufError> {
        if self.len < 4 || self.bytes::<4>("the magic")? != MAGIC {
            return Err(GgufError::Magic { path: self.path.to_owned() });
        }
        let version = self.u32("the version")?;
        if !(2..=3).contains(&version) {
            return Err(self.damaged(format!("GGUF version {version}, and this engine reads 2 and 3")));
        }
        let tensors = self.count("tensors", TENSORS_MAX)?;
        let keys = self.count("metadata keys", KEYS_MAX)?;
        let (mut header, mut split, mut alignment) = (Header::default(), 0, 32);
        for _ in 0..keys {
            self.key(&mut header, &mut split, &mut alignment)?;
        }
        if alignment == 0 || alignment % 8 != 0 || alignment > 1 << 20 {
            return Err(self.damaged(format!("an alignment of {alignment} bytes")));
        }
        header.weights_bytes = self.tensors(tensors, alignment)?;
        if header.architecture.is_empty() && split < 2 {
            return Err(self.damaged("it does not say which architecture the model has".to_owned()));
        }
        Ok((header, split))
    }

    fn key(&mut self, header: &mut Header, split: &mut u64, alignment: &mut u64) -> Result<(), GgufError> {
        let name = self.string("a metadata key", NAME_BYTES_MAX)?;
        let kind = self.u32("a metadata type")?;
        let value = self.value(kind, 0)?;
        // Keys are spelled `<architecture>.name`; the architecture comes first in every file writers produce,
        // and matching the end alone does not depend on it.
        let (_, last) = name.split_once('.').unwrap_or_default();
        match (last, value) {
            ("architecture", Value::Text(text)) if name == "general.architecture" => {
                header.architecture = text
            }
            ("alignment", Value::Number(n)) if name == "general.alignment" => *alignment = n,
            ("count", Value::Number(n)) if name == "split.count" => *split = n,
            ("context_length", Value::Number(n)) => header.context_length = n,
            ("block_count", Value::Number(n)) => header.blocks = n,
            ("embedding_length", Value::Number(n)) => header.embedding = n,
            ("attention.head_count", Value::Number(n)) => header.heads = n,
            ("attention.head_count_kv", Value::Number(n)) => header.kv_heads = n,
            ("attention.key_length", Value::Number(n)) => header.key_width = Some(n),
            ("attention.value_length", Value::Number(n)) => header.value_width = Some(n),
            (_, Value::Number(_) | Value::Text(_) | Value::Other) => {}
        }
        Ok(())
    }

    fn value(&mut self, kind: u32, depth: u32) -> Result<Value, GgufError> {
        let what = "a metadata value";
        Ok(match kind {
            0 | 1 | 7 => Value::Number(u64::from(self.bytes::<1>(what)?[0])),
            2 | 3 => Value::Number(u64::from(u16::from_le_bytes(self.bytes(what)?))),
            4 | 5 => Value::Number(u64::from(self.u32(what)?)),
            6 => {
                self.skip(4, what)?;
                Value::Other
            }
            8 => {
                let len = self.u64(what)?;
                if len > KEPT_BYTES_MAX {
                    self.skip(len, "a metadata text")?;
                    Value::Other
                } else {
                    Value::Text(self.text(len, "a metadata text")?)
                }
            }
            9 => {
                self.array(depth)?;
                Value::Other
            }
            10 | 11 => Value::Number(self.u64(what)?),
            12 => {
                self.skip(8, what)?;
                Value::Other
            }
            unknown => return Err(self.damaged(format!("a metadata value of unknown type {unknown}"))),
        })
    }

    fn array(&mut self, depth: u32) -> Result<(), GgufError> {
        let what = "a metadata list";
        if depth == ARRAY_DEPTH_MAX {
            return Err(self.damaged("metadata lists nested too deep".to_owned()));
        }
        let kind = self.u32(what)?;
        let count = self.u64(what)?;
        let size = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            8 | 9 => 0,
            unknown => return Err(self.damaged(format!("a metadata list of unknown type {unknown}"))),
        };
        if size > 0 {
            let Some(bytes) = count.checked_mul(size) else {
                return Err(self.damaged(format!("a metadata list of {count} entries")));
            };
            return self.skip(bytes, what);
        }
        // Each text or list takes at least eight bytes, so a false count ends at the end of the file.
        self.room(count.saturating_mul(8), what)?;
        for _ in 0..count {
            if kind == 8 {
                let len = self.u64(what)?;
                self.skip(len, what)?;
            } else {
                self.array(depth + 1)?;
            }
        }
        Ok(())
    }

    fn tensors(&mut self, count: u64, alignment: u64) -> Result<u64, GgufError> {
        let mut infos = Vec::new();
        for _ in 0..count {
            infos.push(self.tensor()?);
        }
        let data = self.at.div_ceil(alignment).saturating_mul(alignment);
        let mut total = 0_u64;
        for info in infos {
            if info.offset % alignment != 0 {
                return Err(self.damaged(format!("tensor {} is not aligned", info.name)));
            }
            let end = data.checked_add(info.offset).and_then(|it| it.checked_add(info.bytes));
            let Some(end) = end else {
                return Err(self.damaged(format!("tensor {} is impossibly large", info.name)));
            };
            if end > self.len {
                return Err(self.truncated(format!("tensor {}", info.name), end));
            }
            total = total.saturating_add(info.bytes);
        }
        Ok(total)
    }

    fn tensor(&mut self) -> Result<TensorInfo, GgufError> {
        let name = self.string("a tensor's name", NAME_BYTES_MAX)?;
        let dims = self.u32("a tensor's shape")?;
        if !(1..=4).contains(&dims) {
            return Err(self.damaged(format!("tensor {name} has {dims} dimensions, and 1 to 4 are possible")));
        }
        let mut elements = 1_u64;
        let mut row = 0;
        for dim in 0..dims {
            let size = self.u64("a tensor's shape")?;
            if dim == 0 {
                row = size;
            }
            elements = match elements.checked_mul(size) {
                Some(product) if size > 0 && product <= i64::MAX as u64 => product,
                _ => return Err(self.damaged(format!("tensor {name} has an impossible shape"))),
            };
        }
        let kind = self.u32("a tensor's type")?;
        let offset = self.u64("a tensor's place")?;
        let Some((block, block_bytes)) = block_of(kind) else {
            return Err(
                self.damaged(format!("tensor {name} has type {kind}, which this engine does not know"))
            );
        };
        if row % block != 0 {
            return Err(self.damaged(format!("tensor {name} has rows of {row}, not whole blocks of {block}")));
        }
        let Some(bytes) = (elements / block).checked_mul(block_bytes) else {
            return Err(self.damaged(format!("tensor {name} is impossibly large")));
        };
        Ok(TensorInfo { name, offset, bytes })
    }

    fn count(&mut self, what: &str, most: u64) -> Result<u64, GgufError> {
        let count = self.u64(what)?;
        if count > most {
            return Err(self.damaged(format!("{count} {what}, and {most} are the most this engine reads")));
        }
        Ok(count)
    }

    fn string(&mut self, what: &str, most: u64) -> Result<String, GgufError> {
        let len = self.u64(what)?;
        if len > most {
            return Err(self.damaged(format!("{what} of {len} bytes")));
        }
        self.text(len, what)
    }

    fn text(&mut self, len: u64, what: &str) -> Result<String, GgufError> {
        self.room(len, what)?;
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        self.fill(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn u32(&mut self, what: &str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.bytes(what)?))
    }

    fn u64(&mut self, what: &str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.bytes(what)?))
    }

    fn bytes<const N: usize>(&mut self, what: &str) -> Result<[u8; N], GgufError> {
        self.room(N as u64, what)?;
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), GgufError> {
        self.input
            .read_exact(bytes)
            .map_err(|source| GgufError::Read { path: self.path.to_owned(), source })?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn skip(&mut self, bytes: u64, what: &str) -> Result<(), GgufError> {
        self.room(bytes, what)?;
        let to = self.at + bytes;
        let step =
            i64::try_from(bytes).map_err(|_too_far| self.damaged(format!("{what} of {bytes} bytes")))?;
        let moved =
            self.input.seek_relative(step).or_else(|_| self.input.seek(SeekFrom::Start(to)).map(|_| ()));
        moved.map_err(|source| GgufError::Read { path: self.path.to_owned(), source })?;
        self.at = to;
        Ok(())
    }

    fn room(&self, bytes: u64, what: &str) -> Result<(), GgufError> {
        match self.at.checked_add(bytes) {
            Some(end) if end <= self.len => Ok(()),
            end => Err(self.truncated(what.to_owned(), end.unwrap_or(u64::MAX))),
        }
    }

    fn truncated(&self, what: String, need: u64) -> GgufError {
        GgufError::Truncated { path: self.path.to_owned(), what, need, have: self.len }
    }

    fn damaged(&self, what: String) -> GgufError {
        GgufError::Damaged { path: self.path.to_owned(), what }
    }
}

enum Value {
    Number(u64),
    Text(String),
    Other,
}

struct TensorInfo {
    name: String,
    offset: u64,
    bytes: u64,
}

#[cfg(test)]
mod tests;

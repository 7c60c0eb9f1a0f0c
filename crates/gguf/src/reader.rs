//! Walks through a header, holding every length against the bytes that are left.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek, SeekFrom};

use crate::tensor_type::block_of;
use crate::{Fault, Header, Value};

const MAGIC: [u8; 4] = *b"GGUF";
// The largest published models have some thousands of tensors and some dozens of keys.
const TENSORS_MAX: u64 = 1 << 16;
const KEYS_MAX: u64 = 1 << 16;
const NAME_BYTES_MAX: u64 = 1 << 16;
// A key or text that is kept; tokenizer lists and chat templates are skipped, not kept.
const KEPT_BYTES_MAX: u64 = 1 << 8;
const LIST_DEPTH_MAX: u32 = 2;
// A list of so many numbers may be one with a number for each layer.
const LAYERS_MAX: u64 = 1 << 12;

/// A file and how far it has been read.
pub(super) struct Reader<R> {
    input: BufReader<R>,
    at: u64,
    len: u64,
}

impl<R: Read + Seek> Reader<R> {
    pub(super) fn new(input: R, n_bytes: u64) -> Self {
        Self { input: BufReader::with_capacity(1 << 16, input), at: 0, len: n_bytes }
    }

    /// The metadata up to where the bytes end or make no sense.
    pub(super) fn beginning(mut self) -> BTreeMap<String, Value> {
        let mut metadata = BTreeMap::new();
        if let Ok((_, keys)) = self.counts() {
            for _ in 0..keys {
                if self.pair(&mut metadata).is_err() {
                    break;
                }
            }
        }
        metadata
    }

    /// How many tensors and keys there are.
    fn counts(&mut self) -> Result<(u64, u64), Fault> {
        if self.len < 4 || self.bytes::<4>("the magic")? != MAGIC {
            return Err(Fault::Magic);
        }
        let version = self.u32("the version")?;
        if !(2..=3).contains(&version) {
            return Err(damaged(format!("its GGUF version is {version}; 2 and 3 are known")));
        }
        let tensors = self.count("tensors", TENSORS_MAX)?;
        let keys = self.count("metadata keys", KEYS_MAX)?;
        Ok((tensors, keys))
    }

    fn pair(&mut self, metadata: &mut BTreeMap<String, Value>) -> Result<(), Fault> {
        let name = self.string("a metadata key", NAME_BYTES_MAX)?;
        let kind = self.u32("a metadata type")?;
        let value = self.value(kind, 0)?;
        if let Some(value) = value.filter(|_| name.len() as u64 <= KEPT_BYTES_MAX) {
            // Engines refuse such a file; which of the two values would count is anybody's guess.
            if metadata.contains_key(&name) {
                return Err(damaged(format!("it has the metadata key `{}` twice", name.escape_debug())));
            }
            metadata.insert(name, value);
        }
        Ok(())
    }

    pub(super) fn header(mut self) -> Result<Header, Fault> {
        let (tensors, keys) = self.counts()?;
        let mut metadata = BTreeMap::new();
        for _ in 0..keys {
            self.pair(&mut metadata)?;
        }
        let alignment = match metadata.get("general.alignment") {
            Some(Value::Number(it)) if *it % 8 == 0 && (8..=1 << 20).contains(it) => *it,
            Some(Value::Number(_) | Value::Text(_) | Value::List(..)) => {
                return Err(damaged("its alignment is not sensible".to_owned()));
            }
            None => 32,
        };
        let mut header = Header { metadata, n_tensors: tensors, ..Header::default() };
        self.tensors(&mut header, alignment)?;
        Ok(header)
    }

    /// What is kept of a value; what is not is skipped.
    fn value(&mut self, kind: u32, depth: u32) -> Result<Option<Value>, Fault> {
        let what = "a metadata value";
        let unsigned = |it: u64| Some(Value::Number(it));
        let signed = |it: i64| u64::try_from(it).ok().map(Value::Number);
        Ok(match kind {
            0 | 7 => unsigned(u64::from(u8::from_le_bytes(self.bytes(what)?))),
            1 => signed(i64::from(i8::from_le_bytes(self.bytes(what)?))),
            2 => unsigned(u64::from(u16::from_le_bytes(self.bytes(what)?))),
            3 => signed(i64::from(i16::from_le_bytes(self.bytes(what)?))),
            4 => unsigned(u64::from(self.u32(what)?)),
            5 => signed(i64::from(i32::from_le_bytes(self.bytes(what)?))),
            10 => unsigned(self.u64(what)?),
            11 => signed(i64::from_le_bytes(self.bytes(what)?)),
            6 => {
                self.skip(4, what)?;
                None
            }
            12 => {
                self.skip(8, what)?;
                None
            }
            8 => {
                let len = self.u64(what)?;
                if len > KEPT_BYTES_MAX {
                    self.skip(len, "a metadata text")?;
                    None
                } else {
                    Some(Value::Text(self.text(len, "a metadata text")?))
                }
            }
            9 => Some(self.list(depth)?),
            unknown => return Err(damaged(format!("a metadata value has the unknown type {unknown}"))),
        })
    }

    fn list(&mut self, depth: u32) -> Result<Value, Fault> {
        let what = "a metadata list";
        if depth == LIST_DEPTH_MAX {
            return Err(damaged("its metadata lists are nested too deep".to_owned()));
        }
        let kind = self.u32(what)?;
        let count = self.u64(what)?;
        // The least that one element takes, so that a false count ends at the end of the file.
        let size = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8..=12 => 8,
            unknown => return Err(damaged(format!("a metadata list has the unknown type {unknown}"))),
        };
        self.room(count.saturating_mul(size), what)?;
        let mut largest = None;
        match kind {
            8 => {
                for _ in 0..count {
                    let len = self.u64(what)?;
                    self.skip(len, what)?;
                }
            }
            9 => {
                for _ in 0..count {
                    self.list(depth + 1)?;
                }
            }
            _ if count <= LAYERS_MAX => {
                for _ in 0..count {
                    if let Some(Value::Number(it)) = self.value(kind, depth)? {
                        largest = largest.max(Some(it));
                    }
                }
            }
            _ => self.skip(count.saturating_mul(size), what)?,
        }
        Ok(Value::List(count, largest))
    }

    fn tensors(&mut self, header: &mut Header, alignment: u64) -> Result<(), Fault> {
        let mut infos = Vec::new();
        for _ in 0..header.n_tensors {
            let info = self.tensor()?;
            header.has_first_layer |= info.name.starts_with("blk.0.");
            header.has_draft_layer |= info.name.contains("nextn") || info.name.contains("mtp");
            infos.push(info);
        }
        let data = self.at.div_ceil(alignment).saturating_mul(alignment);
        let mut total = 0_u64;
        for info in infos {
            if info.offset % alignment != 0 {
                return Err(damaged(format!("tensor `{}` is not aligned", info.name)));
            }
            let end = data.checked_add(info.offset).and_then(|it| it.checked_add(info.bytes));
            let Some(end) = end else {
                return Err(damaged(format!("tensor `{}` is impossibly large", info.name)));
            };
            if end > self.len {
                return Err(self.truncated(format!("tensor `{}`", info.name), end));
            }
            total = total.saturating_add(info.bytes);
        }
        header.tensor_bytes = total;
        Ok(())
    }

    fn tensor(&mut self) -> Result<TensorInfo, Fault> {
        let name = self.string("a tensor's name", NAME_BYTES_MAX)?.escape_debug().to_string();
        let dims = self.u32("a tensor's shape")?;
        if !(1..=4).contains(&dims) {
            return Err(damaged(format!("tensor `{name}` has {dims} dimensions, and 1 to 4 are possible")));
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
                _ => return Err(damaged(format!("tensor `{name}` has an impossible shape"))),
            };
        }
        let kind = self.u32("a tensor's type")?;
        let offset = self.u64("a tensor's place")?;
        let Some((block, block_bytes)) = block_of(kind) else {
            return Err(damaged(format!("tensor `{name}` has type {kind}, which is not known")));
        };
        if row % block != 0 {
            return Err(damaged(format!("tensor `{name}` has rows of {row}, not whole blocks of {block}")));
        }
        let Some(bytes) = (elements / block).checked_mul(block_bytes) else {
            return Err(damaged(format!("tensor `{name}` is impossibly large")));
        };
        Ok(TensorInfo { name, offset, bytes })
    }

    fn count(&mut self, what: &str, most: u64) -> Result<u64, Fault> {
        let count = self.u64(&format!("the number of {what}"))?;
        if count > most {
            return Err(damaged(format!("{count} {what}, and {most} are the most that is read")));
        }
        Ok(count)
    }

    fn string(&mut self, what: &str, most: u64) -> Result<String, Fault> {
        let len = self.u64(what)?;
        if len > most {
            return Err(damaged(format!("{what} of {len} bytes")));
        }
        self.text(len, what)
    }

    fn text(&mut self, len: u64, what: &str) -> Result<String, Fault> {
        self.room(len, what)?;
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        self.fill(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn u32(&mut self, what: &str) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.bytes(what)?))
    }

    fn u64(&mut self, what: &str) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.bytes(what)?))
    }

    fn bytes<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Fault> {
        self.room(N as u64, what)?;
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Fault> {
        self.input.read_exact(bytes).map_err(Fault::Read)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn skip(&mut self, bytes: u64, what: &str) -> Result<(), Fault> {
        self.room(bytes, what)?;
        let to = self.at + bytes;
        let step = i64::try_from(bytes).map_err(|_too_far| damaged(format!("{what} of {bytes} bytes")))?;
        let moved =
            self.input.seek_relative(step).or_else(|_| self.input.seek(SeekFrom::Start(to)).map(|_| ()));
        moved.map_err(Fault::Read)?;
        self.at = to;
        Ok(())
    }

    fn room(&self, bytes: u64, what: &str) -> Result<(), Fault> {
        match self.at.checked_add(bytes) {
            Some(end) if end <= self.len => Ok(()),
            end => Err(self.truncated(what.to_owned(), end.unwrap_or(u64::MAX))),
        }
    }

    fn truncated(&self, what: String, need: u64) -> Fault {
        Fault::Truncated { what, need, have: self.len }
    }
}

fn damaged(what: String) -> Fault {
    Fault::Damaged(what)
}

struct TensorInfo {
    name: String,
    offset: u64,
    bytes: u64,
}

//! GGUF headers (versions 2 and 3): a few numbers out of the metadata, and the tensors' sizes. No tensor is read.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use dedi_domain::fit::ModelFacts;

use super::bytes::{Result, Source};
use super::{open, said};

const KEY_BYTES_MAX: u64 = 65_535;
const TEXT_BYTES_MAX: u64 = 1 << 20;
const ENTRIES_MAX: u64 = 100_000;
const TENSORS_MAX: u64 = 1_000_000;
const NESTING_MAX: u32 = 4;

/// Of a folder's GGUF files those that make the model: `<name>.gguf` if there is one, else the first; with all its
/// parts when it is split. Projectors of images are not models.
pub(super) fn pick(files: Vec<PathBuf>, base: &str) -> Vec<PathBuf> {
    let stem = |it: &Path| it.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let models: Vec<PathBuf> = files.into_iter().filter(|it| !stem(it).starts_with("mmproj")).collect();
    let Some(first) = models.iter().find(|it| stem(it) == base).or(models.first()) else { return Vec::new() };
    match part_of(&stem(first)) {
        Some((series, _)) => models
            .iter()
            .filter(|it| part_of(&stem(it)).is_some_and(|(of, _)| of == series))
            .cloned()
            .collect(),
        None => vec![first.clone()],
    }
}

/// `x-00001-of-00003` is a part of (`x`, 3).
fn part_of(stem: &str) -> Option<((&str, u32), u32)> {
    let (rest, total) = stem.rsplit_once("-of-")?;
    let (name, part) = rest.rsplit_once('-')?;
    let number = |it: &str| (it.len() == 5).then(|| it.parse().ok()).flatten();
    Some(((name, number(total)?), number(part)?))
}

/// The facts in the headers of a model's files.
pub(super) fn read(files: &[PathBuf]) -> std::result::Result<ModelFacts, String> {
    let Some(first) = files.first() else { return Err("there is no GGUF file".to_owned()) };
    if let Some(((_, total), _)) = part_of(&first.file_stem().unwrap_or_default().to_string_lossy())
        && files.len() != total as usize
    {
        return Err(said(first, format_args!("{} of the model's {total} parts are here", files.len())));
    }
    let mut weights_bytes = 0_u64;
    let mut metadata = BTreeMap::new();
    for file in files {
        let (input, n_bytes) = open(file)?;
        let header = header(&mut Source::new(input, n_bytes), n_bytes)
            .map_err(|what| said(file, format_args!("not a usable GGUF file: {what}")))?;
        weights_bytes = weights_bytes.saturating_add(header.tensor_bytes);
        if file == first {
            metadata = header.metadata;
        }
    }
    facts(&metadata, weights_bytes)
        .map_err(|what| said(first, format_args!("not a usable GGUF file: {what}")))
}

/// What is kept of a metadata value.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(u64),
    Text(String),
    /// How many elements, and the largest if they are numbers.
    Array(u64, Option<u64>),
    Other,
}

struct Header {
    metadata: BTreeMap<String, Value>,
    tensor_bytes: u64,
}

fn header<R: Read + Seek>(source: &mut Source<R>, n_bytes: u64) -> Result<Header> {
    if &source.array::<4>()? != b"GGUF" {
        return Err("it does not begin with GGUF".to_owned());
    }
    let version = source.u32()?;
    if !(2..=3).contains(&version) {
        return Err(format!("its version is {version}; 2 and 3 are known"));
    }
    let n_tensors = source.u64()?;
    let n_entries = source.u64()?;
    // The shortest entry is an empty key with one byte, the shortest tensor an empty name without dimensions.
    source.check_count(n_entries, 13, "metadata entries")?;
    source.check_count(n_tensors, 24, "tensors")?;
    if n_entries > ENTRIES_MAX || n_tensors > TENSORS_MAX {
        return Err(format!("it claims {n_entries} metadata entries and {n_tensors} tensors"));
    }
    let mut metadata = BTreeMap::new();
    for _ in 0..n_entries {
        let key = source.text(KEY_BYTES_MAX)?;
        let kind = source.u32()?;
        let value = value(source, kind, 0)?;
        if !matches!(value, Value::Other) {
            metadata.insert(key, value);
        }
    }
    let mut tensors = Vec::new();
    for _ in 0..n_tensors {
        tensors.push(tensor(source)?);
    }
    let alignment = match metadata.get("general.alignment") {
        Some(Value::Number(it)) if (1..=1 << 20).contains(it) => *it,
        Some(Value::Number(_) | Value::Text(_) | Value::Array(..) | Value::Other) => {
            return Err("its alignment is not sensible".to_owned());
        }
        None => 32,
    };
    let data_start = source.at().div_ceil(alignment).saturating_mul(alignment);
    let data_bytes = n_bytes.saturating_sub(data_start);
    let mut tensor_bytes = 0_u64;
    for Tensor { name, offset, n_bytes: size } in tensors {
        let end = offset.checked_add(size);
        if end.is_none_or(|it| it > data_bytes) {
            return Err(format!(
                "tensor `{}` lies beyond the end of the file, which is cut off or damaged",
                name.escape_debug()
            ));
        }
        tensor_bytes = tensor_bytes.saturating_add(size);
    }
    Ok(Header { metadata, tensor_bytes })
}

fn value<R: Read + Seek>(source: &mut Source<R>, kind: u32, depth: u32) -> Result<Value> {
    let signed = |it: i64| u64::try_from(it).map_or(Value::Other, Value::Number);
    Ok(match kind {
        0 | 7 => Value::Number(u64::from(u8::from_le_bytes(source.array()?))),
        1 => signed(i64::from(i8::from_le_bytes(source.array()?))),
        2 => Value::Number(u64::from(u16::from_le_bytes(source.array()?))),
        3 => signed(i64::from(i16::from_le_bytes(source.array()?))),
        4 => Value::Number(u64::from(source.u32()?)),
        5 => signed(i64::from(i32::from_le_bytes(source.array()?))),
        10 => Value::Number(source.u64()?),
        11 => signed(i64::from_le_bytes(source.array()?)),
        6 => {
            source.skip(4)?;
            Value::Other
        }
        12 => {
            source.skip(8)?;
            Value::Other
        }
        8 => {
            let n = source.u64()?;
            if n > TEXT_BYTES_MAX {
                source.skip(n)?;
                Value::Other
            } else {
                let bytes = source.bytes(n, TEXT_BYTES_MAX)?;
                Value::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
        }
        9 => array(source, depth)?,
        other => return Err(format!("a metadata value has the unknown type {other}")),
    })
}

fn array<R: Read + Seek>(source: &mut Source<R>, depth: u32) -> Result<Value> {
    if depth >= NESTING_MAX {
        return Err("its metadata is nested too deeply".to_owned());
    }
    let kind = source.u32()?;
    let n = source.u64()?;
    let width = match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        8 | 10..=12 => 8,
        9 => 12,
        other => return Err(format!("a metadata array has the unknown type {other}")),
    };
    source.check_count(n, width, "array elements")?;
    match kind {
        8 => {
            for _ in 0..n {
                let n_bytes = source.u64()?;
                source.skip(n_bytes)?;
            }
            Ok(Value::Array(n, None))
        }
        9 => {
            for _ in 0..n {
                array(source, depth + 1)?;
            }
            Ok(Value::Array(n, None))
        }
        // Small number arrays are per layer: the largest layer is what counts.
        _ if n <= 4_096 => {
            let mut largest = None;
            for _ in 0..n {
                if let Value::Number(it) = value(source, kind, depth)? {
                    largest = largest.max(Some(it));
                }
            }
            Ok(Value::Array(n, largest))
        }
        _ => {
            source.skip(n * width)?;
            Ok(Value::Array(n, None))
        }
    }
}

struct Tensor {
    name: String,
    offset: u64,
    n_bytes: u64,
}

fn tensor<R: Read + Seek>(source: &mut Source<R>) -> Result<Tensor> {
    let name = source.text(KEY_BYTES_MAX)?;
    let n_dimensions = source.u32()?;
    if n_dimensions > 8 {
        return Err(format!("a tensor has {n_dimensions} dimensions"));
    }
    let mut n_elements = 1_u64;
    for _ in 0..n_dimensions {
        n_elements = n_elements
            .checked_mul(source.u64()?)
            .ok_or_else(|| "a tensor has more elements than can be counted".to_owned())?;
    }
    let kind = source.u32()?;
    let (block, bytes) = block_of(kind).ok_or_else(|| format!("a tensor has the unknown type {kind}"))?;
    let n_bytes = n_elements
        .div_ceil(block)
        .checked_mul(bytes)
        .ok_or_else(|| "a tensor has more bytes than can be counted".to_owned())?;
    Ok(Tensor { name, offset: source.u64()?, n_bytes })
}

/// Elements and bytes of one block of a tensor type.
fn block_of(kind: u32) -> Option<(u64, u64)> {
    Some(match kind {
        0 | 26 => (1, 4),
        1 | 25 | 30 => (1, 2),
        2 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        9 => (32, 36),
        10 => (256, 84),
        11 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210),
        15 => (256, 292),
        16 => (256, 66),
        17 => (256, 74),
        18 => (256, 98),
        19 => (256, 50),
        20 => (32, 18),
        21 => (256, 110),
        22 => (256, 82),
        23 => (256, 136),
        24 => (1, 1),
        27 | 28 => (1, 8),
        29 => (256, 56),
        34 => (256, 54),
        35 => (256, 66),
        39 => (32, 17),
        _ => return None,
    })
}

fn facts(metadata: &BTreeMap<String, Value>, weights_bytes: u64) -> Result<ModelFacts> {
    let architecture = match metadata.get("general.architecture") {
        Some(Value::Text(it)) if !it.is_empty() && it.len() <= 64 => it.clone(),
        Some(Value::Number(_) | Value::Text(_) | Value::Array(..) | Value::Other) | None => {
            return Err("it does not name its architecture".to_owned());
        }
    };
    let number = |key: &str| match metadata.get(&format!("{architecture}.{key}")) {
        Some(Value::Number(it) | Value::Array(_, Some(it))) => u32::try_from(*it).ok(),
        Some(Value::Text(_) | Value::Array(_, None) | Value::Other) | None => None,
    };
    let needed = |key: &str| number(key).ok_or_else(|| format!("it lacks `{architecture}.{key}`"));
    let n_layers = needed("block_count")?;
    let embedding_dim = needed("embedding_length")?;
    let n_heads = number("attention.head_count").unwrap_or(1).max(1);
    let head_dim = embedding_dim / n_heads;
    let key_dim = number("attention.key_length").unwrap_or(head_dim);
    let value_dim = number("attention.value_length").unwrap_or(key_dim);
    let vocab_size = match metadata.get("tokenizer.ggml.tokens") {
        Some(Value::Array(n, _)) => u32::try_from(*n).unwrap_or(u32::MAX),
        Some(Value::Number(_) | Value::Text(_) | Value::Other) | None => number("vocab_size").unwrap_or(0),
    };
    let is_embedding = number("pooling_type").is_some_and(|it| it > 0)
        || matches!(
            architecture.as_str(),
            "bert"
                | "nomic-bert"
                | "nomic-bert-moe"
                | "jina-bert-v2"
                | "jina-bert-v3"
                | "modern-bert"
                | "eurobert"
                | "t5encoder"
        );
    Ok(ModelFacts {
        weights_bytes,
        n_layers,
        n_kv_heads: number("attention.head_count_kv").unwrap_or(n_heads),
        key_value_dim: key_dim.saturating_add(value_dim),
        embedding_dim,
        vocab_size,
        context_tokens_max: needed("context_length")?,
        architecture,
        is_embedding,
    })
}

//! Which GGUF files make a model, and the facts in their headers. No tensor is read.

use std::path::{Path, PathBuf};

use dedi_domain::fit::ModelFacts;
use dedi_gguf::{Fault, Header, Kind, Value};

use super::kinds::Kinds;
use super::{Flaw, open, said};

const NOT_USABLE: &str = "not a usable GGUF file";

/// Of a folder's GGUF files those that make the model: `<name>.gguf` if there is one, else the first; with all its
/// parts when it is split. An error: there are some, and none is a model; what they are.
pub(super) fn pick(files: Vec<PathBuf>, base: &str, kinds: &Kinds) -> Result<Vec<PathBuf>, String> {
    let stem = |it: &Path| it.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let Some(first) = files.first().map(|it| stem(it)) else { return Ok(Vec::new()) };
    let is_one = |it: &PathBuf| match (part_of(&first), part_of(&stem(it))) {
        (Some((one, _)), Some((other, _))) => one == other,
        (None, None) => first == stem(it),
        (Some(_), None) | (None, Some(_)) => false,
    };
    // One file that is no model is told by what its header lacks; opening it is for who needs its facts.
    if files.iter().all(is_one) && !is_suspect(&first) {
        return Ok(files);
    }
    let mut models = Vec::new();
    let mut others = Vec::new();
    for file in files {
        match kinds.of(&file) {
            Some(Kind::Model) => models.push((false, file)),
            // What does not read is what its name says.
            None if !is_suspect(&stem(&file)) => models.push((true, file)),
            Some(kind) => others.push(said(&file, format_args!("it is {kind}"))),
            None => others.push(said(&file, "its name is that of no model, and it does not read")),
        }
    }
    models.sort();
    let named = models.iter().find(|(_, it)| stem(it) == base);
    let Some((_, first)) = named.or(models.first()) else {
        return Err(format!("{}; the model itself is missing beside it", others.join("; ")));
    };
    Ok(match part_of(&stem(first)) {
        Some((series, _)) => {
            let is_part = |it: &PathBuf| part_of(&stem(it)).is_some_and(|(of, _)| of == series);
            let mut parts: Vec<PathBuf> =
                models.iter().map(|(_, it)| it).filter(|it| is_part(it)).cloned().collect();
            parts.sort();
            parts
        }
        None => vec![first.clone()],
    })
}

/// Whether a name is usual for something else than a model.
fn is_suspect(stem: &str) -> bool {
    let lower = stem.to_ascii_lowercase();
    lower.contains("mmproj") || lower.contains("imatrix") || lower.contains("lora")
}

/// `x-00001-of-00003` is a part of (`x`, 3).
fn part_of(stem: &str) -> Option<((&str, u32), u32)> {
    let (rest, total) = stem.rsplit_once("-of-")?;
    let (name, part) = rest.rsplit_once('-')?;
    let number = |it: &str| (it.len() == 5).then(|| it.parse().ok()).flatten();
    Some(((name, number(total)?), number(part)?))
}

/// The facts in the headers of a model's files.
pub(super) fn read(files: &[PathBuf]) -> Result<ModelFacts, Flaw> {
    let Some(first) = files.first() else { return Err(Flaw::Wrong("there is no GGUF file".to_owned())) };
    if let Some(((_, total), _)) = part_of(&first.file_stem().unwrap_or_default().to_string_lossy())
        && files.len() != total as usize
    {
        let n = files.len();
        return Err(Flaw::Wrong(said(first, format_args!("{n} of the model's {total} parts are here"))));
    }
    let mut weights_bytes = 0_u64;
    let mut described = Header::default();
    if files.len() > 1
        && let Some(file) = files.iter().find(|it| it.extension().is_some_and(|it| it != "gguf"))
    {
        // The engine finds the parts by the first one's name.
        return Err(Flaw::Wrong(said(
            file,
            "the parts of a split model must end with `.gguf` in lower case; rename them",
        )));
    }
    for file in files {
        let header = header(file).map_err(|flaw| flaw.about(file, NOT_USABLE))?;
        weights_bytes = weights_bytes.saturating_add(header.tensor_bytes);
        let kind = Kind::of(&header);
        if kind != Kind::Model {
            return Err(Flaw::Wrong(said(file, format_args!("it is {kind}, and no model"))));
        }
        if file == first {
            described = header;
        }
    }
    facts(&described, weights_bytes).map_err(|what| Flaw::Wrong(what).about(first, NOT_USABLE))
}

fn header(file: &Path) -> Result<Header, Flaw> {
    let (input, n_bytes) = open(file)?;
    dedi_gguf::read(input, n_bytes).map_err(|fault| match fault {
        Fault::Read(err) => Flaw::of_read(&err),
        fault @ (Fault::Magic | Fault::Truncated { .. } | Fault::Damaged(_)) => {
            Flaw::Wrong(fault.to_string())
        }
    })
}

fn facts(header: &Header, weights_bytes: u64) -> Result<ModelFacts, String> {
    let architecture = header.architecture().to_owned();
    if architecture.is_empty() || architecture.len() > 64 {
        return Err("it does not name its architecture".to_owned());
    }
    let number = |key: &str| header.number(key).and_then(|it| u32::try_from(it).ok());
    let needed = |key: &str| number(key).ok_or_else(|| format!("it lacks `{architecture}.{key}`"));
    let n_layers = needed("block_count")?;
    let embedding_dim = needed("embedding_length")?;
    let n_heads = number("attention.head_count").unwrap_or(1).max(1);
    let head_dim = embedding_dim / n_heads;
    let key_dim = number("attention.key_length").unwrap_or(head_dim);
    let value_dim = number("attention.value_length").unwrap_or(key_dim);
    let vocab_size = match header.metadata.get("tokenizer.ggml.tokens") {
        Some(Value::List(n, _)) => u32::try_from(*n).unwrap_or(u32::MAX),
        Some(Value::Number(_) | Value::Text(_)) | None => number("vocab_size").unwrap_or(0),
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

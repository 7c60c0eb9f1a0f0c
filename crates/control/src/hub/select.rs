//! Which files of a repository make the model. Pure: a list in, a choice or a sentence out.
//!
//! GGUF first, since the bundled engine reads it: one quantisation, the one that was named, else the first of
//! [`ORDER`] that is there. Without GGUF: `config.json`, the safetensors and the tokenizer's files at the top of the
//! repository. Pickled weights can run code when they are loaded, so they are never taken.

use std::collections::BTreeMap;

use super::error::HubError;
use super::listing::{Hash, Listed};
use super::source::Source;

/// A file to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its path in the repository.
    pub(super) path: String,
    /// Its name in the model store, which has no folders below a model.
    pub(super) name: String,
    pub(super) n_bytes: u64,
    pub(super) hash: Hash,
}

/// Quantisations in the order they are taken in when none is named: first the usual balance of size and quality,
/// then what is close to it, then what is larger, then what loses much, then the unquantised.
pub(super) const ORDER: &[&str] = &[
    "Q4_K_M", "Q4_K_S", "Q4_0", "IQ4_XS", "IQ4_NL", "Q4_1", "Q5_K_M", "Q5_K_S", "Q5_0", "Q5_1", "Q6_K",
    "Q8_0", "MXFP4", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K", "F16", "BF16", "F32",
];

/// Taken along from the top of a repository of safetensors.
const BESIDE_SAFETENSORS: &[&str] = &[
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
];
/// Taken along from every repository: what the model may be used for.
const TEXTS: &[&str] = &["README.md", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE"];
/// Larger texts are left where they are.
const TEXT_BYTES_MAX: u64 = 1 << 20;
const NAME_BYTES_MAX: usize = 200;
const PICKLED: &[&str] = &[".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"];

/// The files to fetch, weights first.
pub(super) fn select(source: &Source, files: &[Listed]) -> Result<Vec<Wanted>, HubError> {
    let ggufs = series(files);
    let (weights, beside): (Vec<&Listed>, &[&str]) = match (&source.file, ggufs.is_empty()) {
        (Some(wanted), _) => (named(source, wanted, &ggufs)?, &[]),
        (None, false) => (best(&ggufs), &[]),
        (None, true) => (safetensors(source, files)?, BESIDE_SAFETENSORS),
    };
    let chosen = |it: &&Listed| {
        beside.contains(&it.path.as_str())
            || (TEXTS.contains(&it.path.as_str()) && it.n_bytes.is_some_and(|it| it <= TEXT_BYTES_MAX))
    };
    let with_texts = weights.iter().copied().chain(files.iter().filter(chosen));
    with_texts.map(|it| wanted(source, it)).collect()
}

fn wanted(source: &Source, it: &Listed) -> Result<Wanted, HubError> {
    let model = &source.model;
    let name = base_name(&it.path);
    let is_plain = !name.is_empty()
        && !name.starts_with('.')
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-+=@,() ".contains(&it));
    if !is_plain {
        return Err(HubError::Unsuitable(format!(
            "{model} has a file whose name is not taken: {}",
            it.path.escape_debug()
        )));
    }
    let (Some(n_bytes), Some(hash)) = (it.n_bytes, it.hash.clone()) else {
        return Err(HubError::Foreign(format!("it gives no size and hash for {name} of {model}")));
    };
    Ok(Wanted { path: it.path.clone(), name: name.to_owned(), n_bytes, hash })
}

fn base_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn stem(path: &str) -> &str {
    base_name(path).strip_suffix(".gguf").unwrap_or_else(|| base_name(path))
}

/// A GGUF model: one file, or the parts of a split one.
struct Series<'a> {
    /// The path without `-00001-of-00003.gguf`.
    name: String,
    parts: Vec<&'a Listed>,
}

impl Series<'_> {
    fn n_bytes(&self) -> u64 {
        self.parts.iter().filter_map(|it| it.n_bytes).fold(0, u64::saturating_add)
    }

    fn has_label(&self, label: &str) -> bool {
        let upper = stem(&self.name).to_ascii_uppercase();
        let label = label.to_ascii_uppercase();
        upper == label || ['-', '.', '_'].iter().any(|it| upper.ends_with(&format!("{it}{label}")))
    }
}

/// The complete GGUF models of a repository, by name. Projectors of images and importance matrices are none.
fn series(files: &[Listed]) -> Vec<Series<'_>> {
    let mut found: BTreeMap<(String, u32), Vec<&Listed>> = BTreeMap::new();
    for it in files.iter().filter(|it| it.path.ends_with(".gguf")) {
        let lower = base_name(&it.path).to_ascii_lowercase();
        if lower.starts_with("mmproj") || lower.contains("imatrix") {
            continue;
        }
        let whole = it.path.trim_end_matches(".gguf");
        let key = split_part(whole).map_or((whole.to_owned(), 1), |(name, total)| (name.to_owned(), total));
        found.entry(key).or_default().push(it);
    }
    let complete = found.into_iter().filter(|((_, total), parts)| parts.len() == *total as usize);
    let mut all: Vec<Series<'_>> = complete.map(|((name, _), parts)| Series { name, parts }).collect();
    for it in &mut all {
        it.parts.sort_by(|a, b| a.path.cmp(&b.path));
    }
    all
}

/// `x-00001-of-00003` belongs to (`x`, 3).
fn split_part(text: &str) -> Option<(&str, u32)> {
    let (rest, total) = text.rsplit_once("-of-")?;
    let (name, part) = rest.rsplit_once('-')?;
    let number = |it: &str| (it.len() == 5).then(|| it.parse::<u32>().ok()).flatten();
    number(part)?;
    Some((name, number(total)?))
}

fn best<'a>(all: &[Series<'a>]) -> Vec<&'a Listed> {
    let rank = |it: &Series<'_>| ORDER.iter().position(|label| it.has_label(label)).unwrap_or(ORDER.len());
    let first = all.iter().min_by_key(|it| (rank(it), it.n_bytes(), it.name.clone()));
    first.map(|it| it.parts.clone()).unwrap_or_default()
}

fn named<'a>(source: &Source, wanted: &str, all: &[Series<'a>]) -> Result<Vec<&'a Listed>, HubError> {
    let by_path = |it: &&Series<'_>| {
        it.name == wanted
            || it
                .parts
                .iter()
                .any(|it| it.path == wanted || base_name(&it.path) == wanted || stem(&it.path) == wanted)
    };
    let by_label = |it: &&Series<'_>| it.has_label(wanted);
    let mut hits: Vec<&Series<'a>> = all.iter().filter(by_path).collect();
    if hits.is_empty() {
        hits = all.iter().filter(by_label).collect();
    }
    match hits.as_slice() {
        [one] => Ok(one.parts.clone()),
        [] if all.is_empty() => Err(HubError::Unsuitable(format!(
            "{} has no complete GGUF file, so none can be named",
            source.model
        ))),
        found => {
            let names: Vec<&str> = if found.is_empty() {
                all.iter().map(|it| it.name.as_str()).collect()
            } else {
                found.iter().map(|it| it.name.as_str()).collect()
            };
            let how = if found.is_empty() { "has no file" } else { "has several files" };
            let names = names.into_iter().take(20).collect::<Vec<_>>().join(", ");
            Err(HubError::Unsuitable(format!("{} {how} `{wanted}`; there are: {names}", source.model)))
        }
    }
}

fn safetensors<'a>(source: &Source, files: &'a [Listed]) -> Result<Vec<&'a Listed>, HubError> {
    let model = &source.model;
    let unsuitable = |what: String| Err(HubError::Unsuitable(format!("{model} {what}")));
    let top: Vec<&Listed> = files.iter().filter(|it| !it.path.contains('/')).collect();
    let tensors: Vec<&Listed> = top.iter().copied().filter(|it| it.path.ends_with(".safetensors")).collect();
    if tensors.is_empty() {
        return Err(HubError::Unsuitable(format!("{model} {}", why_no_weights(files))));
    }
    if !top.iter().any(|it| it.path == "config.json") {
        let is_adapter = top.iter().any(|it| it.path == "adapter_config.json");
        return unsuitable(if is_adapter {
            "is an adapter for another model, which can't be deployed by itself".to_owned()
        } else {
            "has no config.json at its top, so it is not a language model that can be deployed".to_owned()
        });
    }
    if let Some(whole) = tensors.iter().find(|it| it.path == "model.safetensors") {
        return Ok(vec![whole]);
    }
    let total = |it: &Listed| {
        let (name, total) = split_part(it.path.trim_end_matches(".safetensors"))?;
        (name == "model").then_some(total)
    };
    let shards: Vec<&Listed> = tensors.iter().copied().filter(|it| total(it).is_some()).collect();
    match (shards.first().and_then(|it| total(it)), tensors.as_slice()) {
        (Some(total), _) if shards.len() == total as usize => Ok(shards),
        (Some(total), _) => unsuitable(format!("has {} of its {total} parts of safetensors", shards.len())),
        (None, [one]) => Ok(vec![one]),
        (None, several) => {
            unsuitable(format!("has {} files of safetensors and none says which is the model", several.len()))
        }
    }
}

fn why_no_weights(files: &[Listed]) -> String {
    let ends = |it: &Listed, suffixes: &[&str]| suffixes.iter().any(|suffix| it.path.ends_with(suffix));
    if let Some(pickled) = files.iter().find(|it| ends(it, PICKLED)) {
        return format!(
            "has its weights only as pickle files ({}), which can run code when they are loaded; dedi takes GGUF and safetensors",
            base_name(&pickled.path).escape_debug()
        );
    }
    if files.iter().any(|it| ends(it, &[".gguf"])) {
        return "has no complete GGUF model: parts of it are missing".to_owned();
    }
    if let Some(code) = files.iter().find(|it| ends(it, &[".py"])) {
        let name = base_name(&code.path).escape_debug().to_string();
        return format!(
            "has no weights that can be loaded, only Python code ({name}), which dedi does not run"
        );
    }
    "has neither GGUF nor safetensors files".to_owned()
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;

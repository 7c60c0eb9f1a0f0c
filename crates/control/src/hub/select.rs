//! Which files of a repository make the model. Pure: a list in, a choice or a sentence out.
//!
//! GGUF first, since the bundled engine reads it: one quantisation, the one that was named, else the first of
//! [`ORDER`](super::series::ORDER) that is there. Without GGUF: `config.json`, the safetensors and the tokenizer's files at the top of the
//! repository. Pickled weights can run code when they are loaded, so they are never taken.

use super::error::HubError;
use super::listing::{Hash, Listed};
use super::series::{self, base_name, is_gguf, split_part};
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

/// The files to fetch, weights first. `not_models` are GGUF files that turned out to be none.
pub(super) fn select(
    source: &Source,
    files: &[Listed],
    not_models: &[String],
) -> Result<Vec<Wanted>, HubError> {
    let mut ggufs = series::of(files);
    ggufs.retain(|it| !it.parts.iter().any(|part| not_models.contains(&part.path)));
    let (weights, beside): (Vec<&Listed>, &[&str]) = match (&source.file, ggufs.is_empty()) {
        (Some(wanted), _) => (series::named(source, wanted, &ggufs)?, &[]),
        (None, false) => (series::best(&ggufs), &[]),
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
    // Engines find the parts of a split model by an ending in lower case.
    let name = match name.rsplit_once('.') {
        Some((stem, _)) if is_gguf(name) => format!("{stem}.gguf"),
        Some(_) | None => name.to_owned(),
    };
    Ok(Wanted { path: it.path.clone(), name, n_bytes, hash })
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
    let mut ggufs = files.iter().filter(|it| is_gguf(&it.path));
    if let Some(first) = ggufs.next() {
        let parts =
            std::iter::once(first).chain(ggufs).find(|it| split_part(series::stem(&it.path)).is_some());
        return match parts {
            Some(_) => "has no complete GGUF model: parts of it are missing".to_owned(),
            None => format!(
                "has no GGUF model, only what belongs to one, such as {}",
                base_name(&first.path).escape_debug()
            ),
        };
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

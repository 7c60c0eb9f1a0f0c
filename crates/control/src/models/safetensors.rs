//! Safetensors headers and the `config.json` beside them. No tensor is read.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dedi_domain::fit::ModelFacts;
use serde::Deserialize;

use super::bytes::Source;
use super::{Flaw, open, said};

/// Longest header that is read; the format's own limit is 100 MB, real ones are below one.
const HEADER_BYTES_MAX: u64 = 32 << 20;
const CONFIG_BYTES_MAX: u64 = 1 << 20;
const NOT_A_CONFIG: &str = "not a model's config";

/// The facts of the model in `folder`, whose tensors are in `files`.
pub(super) fn read(folder: &Path, files: &[PathBuf]) -> Result<ModelFacts, Flaw> {
    let mut weights_bytes = 0_u64;
    for file in files {
        let bytes = tensor_bytes(file).map_err(|flaw| flaw.about(file, "not a usable safetensors file"))?;
        weights_bytes = weights_bytes.saturating_add(bytes);
    }
    let config = folder.join("config.json");
    let n_bytes = match fs::metadata(&config) {
        Ok(meta) => meta.len(),
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            return Err(Flaw::Wrong(said(&config, "the model's folder lacks it")));
        }
        Err(err) => return Err(Flaw::of_read(&err).about(&config, NOT_A_CONFIG)),
    };
    if n_bytes > CONFIG_BYTES_MAX {
        return Err(Flaw::Wrong(said(&config, format_args!("{n_bytes} bytes are too many for a config"))));
    }
    let text = fs::read(&config).map_err(|err| Flaw::of_read(&err).about(&config, NOT_A_CONFIG))?;
    let parsed: Config = serde_json::from_slice(&text)
        .map_err(|err| Flaw::Wrong(err.to_string()).about(&config, NOT_A_CONFIG))?;
    parsed.facts(weights_bytes).map_err(|what| Flaw::Wrong(said(&config, what)))
}

#[derive(Deserialize)]
struct Entry {
    data_offsets: Option<(u64, u64)>,
}

fn tensor_bytes(file: &Path) -> Result<u64, Flaw> {
    let (input, n_bytes) = open(file)?;
    let mut source = Source::new(input, n_bytes);
    let n_header = source.u64()?;
    let header = source.bytes(n_header, HEADER_BYTES_MAX)?;
    let entries: BTreeMap<String, Entry> =
        serde_json::from_slice(&header).map_err(|err| format!("its header does not read ({err})"))?;
    let left = source.left();
    let mut total = 0_u64;
    for (name, entry) in entries {
        let Some((begin, end)) = entry.data_offsets else { continue };
        if begin > end || end > left {
            return Err(Flaw::Wrong(format!(
                "tensor `{}` lies beyond the end of the file, which is cut off or damaged",
                name.escape_debug()
            )));
        }
        total = total.saturating_add(end - begin);
    }
    Ok(total)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    model_type: Option<String>,
    architectures: Vec<String>,
    num_hidden_layers: Option<u32>,
    num_attention_heads: Option<u32>,
    num_key_value_heads: Option<u32>,
    head_dim: Option<u32>,
    hidden_size: Option<u32>,
    vocab_size: Option<u32>,
    max_position_embeddings: Option<u32>,
    text_config: Option<Box<Config>>,
}

impl Config {
    fn facts(self, weights_bytes: u64) -> Result<ModelFacts, String> {
        let is_embedding = self.architectures.iter().any(|it| it.ends_with("Model"));
        // Models that also see images keep the language part's numbers one level down.
        let Some(text) = self.text_config else { return self.own_facts(weights_bytes, is_embedding) };
        let model_type = self.model_type.or_else(|| text.model_type.clone());
        Self { model_type, ..*text }.own_facts(weights_bytes, is_embedding)
    }

    fn own_facts(self, weights_bytes: u64, is_embedding: bool) -> Result<ModelFacts, String> {
        let needed = |value: Option<u32>, name: &str| value.ok_or_else(|| format!("it lacks `{name}`"));
        let embedding_dim = needed(self.hidden_size, "hidden_size")?;
        let n_heads = self.num_attention_heads.unwrap_or(1).max(1);
        let head_dim = self.head_dim.unwrap_or(embedding_dim / n_heads);
        Ok(ModelFacts {
            weights_bytes,
            n_layers: needed(self.num_hidden_layers, "num_hidden_layers")?,
            n_kv_heads: self.num_key_value_heads.unwrap_or(n_heads),
            key_value_dim: head_dim.saturating_mul(2),
            embedding_dim,
            vocab_size: self.vocab_size.unwrap_or(0),
            context_tokens_max: needed(self.max_position_embeddings, "max_position_embeddings")?,
            architecture: self.model_type.unwrap_or_else(|| "unknown".to_owned()),
            is_embedding,
        })
    }
}

//! What a GGUF file is for, by its metadata: many files next to models have the same extension and are no models.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Header, Value};

/// What a GGUF file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A model, or a part of one.
    Model,
    /// A projector: turns images or sound into a model's embeddings.
    Projector,
    /// An adapter (LoRA) of another model.
    Adapter,
    /// An importance matrix for quantisation.
    ImportanceMatrix,
    /// A draft model for speculative decoding.
    Draft,
    /// A tokenizer without weights.
    Vocabulary,
}

impl Kind {
    /// Classifies by the whole header.
    pub fn of(header: &Header) -> Self {
        let kind = Self::of_metadata(&header.metadata);
        if kind != Self::Model {
            return kind;
        }
        // The first part of a split model may have no tensors of its own.
        let is_part = matches!(header.metadata.get("split.count"), Some(Value::Number(it)) if *it > 1);
        if is_part {
            Self::Model
        } else if header.n_tensors == 0 {
            Self::Vocabulary
        } else if header.has_draft_layer && !header.has_first_layer {
            Self::Draft
        } else {
            Self::Model
        }
    }

    /// Classifies by the known part of the metadata; [`Kind::Model`] by default.
    pub fn of_metadata(metadata: &BTreeMap<String, Value>) -> Self {
        let text = |key: &str| match metadata.get(key) {
            Some(Value::Text(it)) => it.as_str(),
            Some(Value::Number(_) | Value::List(..)) | None => "",
        };
        let has = |prefix: &str| metadata.keys().any(|it| it.starts_with(prefix));
        let architecture = text("general.architecture");
        match text("general.type") {
            "mmproj" | "projector" | "clip-vision" => Self::Projector,
            "adapter" => Self::Adapter,
            "imatrix" => Self::ImportanceMatrix,
            _ if architecture == "clip" || architecture == "mmproj" || has("clip.") => Self::Projector,
            _ if has("adapter.") => Self::Adapter,
            _ if has("imatrix.") => Self::ImportanceMatrix,
            _ if architecture.starts_with("eagle") || architecture == "medusa" => Self::Draft,
            // Also kinds that are newer than this program; loading decides.
            _ => Self::Model,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Model => "a model",
            Self::Projector => "a projector, which reads images or sound for a model",
            Self::Adapter => "an adapter (LoRA), which changes another model",
            Self::ImportanceMatrix => "an importance matrix, which quantisations are made with",
            Self::Draft => "a draft head, which guesses ahead for another model",
            Self::Vocabulary => "a vocabulary without weights",
        })
    }
}

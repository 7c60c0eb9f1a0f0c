//! Model files, as small as they can be and valid.

/// What a GGUF file made for a test says.
pub(crate) struct Gguf {
    pub(crate) n_layers: u32,
    pub(crate) context: u32,
    pub(crate) n_elements: u64,
    pub(crate) vocabulary: Vec<&'static str>,
    /// `general.type`.
    pub(crate) kind: &'static str,
}

impl Default for Gguf {
    fn default() -> Self {
        Self { n_layers: 2, context: 512, n_elements: 1_024, vocabulary: vec!["a", "b", "c"], kind: "model" }
    }
}

/// A small valid GGUF file with one F32 tensor.
pub(crate) fn gguf(of: &Gguf) -> Vec<u8> {
    fn text(out: &mut Vec<u8>, it: &str) {
        out.extend((it.len() as u64).to_le_bytes());
        out.extend(it.as_bytes());
    }
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend(1_u64.to_le_bytes());
    out.extend(8_u64.to_le_bytes());
    text(&mut out, "general.architecture");
    out.extend(8_u32.to_le_bytes());
    text(&mut out, "llama");
    text(&mut out, "general.type");
    out.extend(8_u32.to_le_bytes());
    text(&mut out, of.kind);
    for (key, value) in [
        ("llama.block_count", of.n_layers),
        ("llama.context_length", of.context),
        ("llama.embedding_length", 64),
        ("llama.attention.head_count", 4),
        ("llama.attention.head_count_kv", 2),
    ] {
        text(&mut out, key);
        out.extend(4_u32.to_le_bytes());
        out.extend(value.to_le_bytes());
    }
    text(&mut out, "tokenizer.ggml.tokens");
    out.extend(9_u32.to_le_bytes());
    out.extend(8_u32.to_le_bytes());
    out.extend((of.vocabulary.len() as u64).to_le_bytes());
    for token in &of.vocabulary {
        text(&mut out, token);
    }
    text(&mut out, "output.weight");
    out.extend(1_u32.to_le_bytes());
    out.extend(of.n_elements.to_le_bytes());
    out.extend(0_u32.to_le_bytes());
    out.extend(0_u64.to_le_bytes());
    out.resize(out.len().div_ceil(32) * 32, 0);
    out.resize(out.len() + usize::try_from(of.n_elements).unwrap() * 4, 0);
    out
}

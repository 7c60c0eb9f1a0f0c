//! The one memory model: what a replica of a model needs, used by the hardware list, by create, by the plan
//! and by placement, so that they can never disagree.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::hardware::{Device, HardwareConfig, Inventory};
use crate::ids::NodeId;

/// What a model's file headers say about its size. All sizes in bytes, all counts per model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// Sum of the tensors' bytes as stored.
    pub weights_bytes: u64,
    /// Layers that keep keys and values.
    pub n_layers: u32,
    /// Heads of keys and values per layer.
    pub n_kv_heads: u32,
    /// Numbers per head in a key plus those in a value.
    pub key_value_dim: u32,
    /// Width of the residual stream.
    pub embedding_dim: u32,
    /// Entries of the vocabulary.
    pub vocab_size: u32,
    /// Longest context the model was made for, in tokens.
    pub context_tokens_max: u32,
    /// `llama`, `bert`, …
    pub architecture: String,
    /// Makes embeddings, not text.
    pub is_embedding: bool,
}

/// How the engine will be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// Tokens of context per request.
    pub context_tokens: u32,
    /// Requests at the same time.
    pub slots: u32,
}

/// The arithmetic of one replica, in bytes over all its devices together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryNeed {
    /// The tensors.
    pub weights_bytes: u64,
    /// Keys and values at 2 bytes a number, for all slots at full context.
    pub kv_cache_bytes: u64,
    /// Scratch of one step: logits and activations of a batch of [`BATCH_TOKENS`].
    pub compute_bytes: u64,
    /// Runtime, code, fragmentation: 64 MiB and a tenth of the rest.
    pub margin_bytes: u64,
}

/// Tokens in one step of the engine, at most.
pub const BATCH_TOKENS: u64 = 512;

impl MemoryNeed {
    /// The sum.
    pub fn total_bytes(&self) -> u64 {
        [self.weights_bytes, self.kv_cache_bytes, self.compute_bytes, self.margin_bytes]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

/// Memory that one replica of the model needs.
pub fn memory_need(facts: &ModelFacts, serving: Serving) -> MemoryNeed {
    let tokens = u64::from(serving.context_tokens).saturating_mul(u64::from(serving.slots));
    let per_token = u64::from(facts.n_layers)
        .saturating_mul(u64::from(facts.n_kv_heads))
        .saturating_mul(u64::from(facts.key_value_dim))
        .saturating_mul(2);
    let kv_cache_bytes = if facts.is_embedding { 0 } else { tokens.saturating_mul(per_token) };
    let widest = u64::from(facts.vocab_size).max(u64::from(facts.embedding_dim).saturating_mul(8));
    let compute_bytes = BATCH_TOKENS.saturating_mul(widest).saturating_mul(4);
    let base = facts.weights_bytes.saturating_add(kv_cache_bytes).saturating_add(compute_bytes);
    MemoryNeed {
        weights_bytes: facts.weights_bytes,
        kv_cache_bytes,
        compute_bytes,
        margin_bytes: (base / 10).saturating_add(64 << 20),
    }
}

/// How a configuration suits a model on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Could never hold it, even on an idle host.
    TooSmall {
        /// Bytes on all its devices together.
        total_bytes: u64,
    },
    /// Could hold it.
    Fits {
        /// Devices of the kind that are free now and have the memory.
        n_free: u32,
        /// Devices needed.
        n_needed: u32,
    },
}

/// Bytes each of `count` devices must have for `need` spread evenly.
pub fn bytes_per_device(need: MemoryNeed, count: u32) -> u64 {
    need.total_bytes().div_ceil(u64::from(count.max(1)))
}

/// Judges a configuration. `is_taken` says whether a device is held by a replica of ours.
pub fn fit(
    need: MemoryNeed,
    config: &HardwareConfig,
    inventory: &Inventory,
    is_taken: impl Fn(&crate::DeviceId) -> bool,
) -> Fit {
    let per_device = bytes_per_device(need, config.count);
    let mut nodes: BTreeMap<&NodeId, Vec<&Device>> = BTreeMap::new();
    for device in inventory.devices.iter().filter(|it| it.kind == config.kind) {
        nodes.entry(device.id.node()).or_default().push(device);
    }
    // A replica is on one node.
    let most = |count: &dyn Fn(&Device) -> bool| {
        nodes.values().map(|of_node| of_node.iter().filter(|it| count(it)).count()).max().unwrap_or(0)
    };
    if most(&|it| it.memory_total_bytes >= per_device) < config.count as usize {
        let largest = nodes.values().flatten().map(|it| it.memory_total_bytes).max().unwrap_or(0);
        return Fit::TooSmall { total_bytes: largest.saturating_mul(u64::from(config.count)) };
    }
    let n_free = most(&|it| it.can_take(per_device) && !is_taken(&it.id));
    Fit::Fits { n_free: u32::try_from(n_free).unwrap_or(u32::MAX), n_needed: config.count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_need_of_a_known_model_is_its_weights_cache_and_margin() {
        // Llama 3.1 8B at F16: 32 layers, 8 heads of 128: 128 KiB of cache a token.
        let facts = ModelFacts {
            weights_bytes: 16_060_522_496,
            n_layers: 32,
            n_kv_heads: 8,
            key_value_dim: 256,
            embedding_dim: 4096,
            vocab_size: 128_256,
            context_tokens_max: 131_072,
            architecture: "llama".into(),
            is_embedding: false,
        };
        let need = memory_need(&facts, Serving { context_tokens: 8192, slots: 4 });
        assert_eq!(need.kv_cache_bytes, 4 << 30);
        assert_eq!(need.compute_bytes, 512 * 128_256 * 4);
        assert!((20..22).contains(&(need.total_bytes() >> 30)));
    }
}

//! `/v1/models`: a bare array, as Together's SDKs expect.

use serde::{Deserialize, Serialize};

/// One model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// `<org>/<name>`, or a running endpoint's name.
    pub id: String,
    /// Always `model`.
    pub object: String,
    /// Unix seconds.
    pub created: i64,
    /// `chat`, `language` or `embedding` here; another word than the contract's ten breaks the v1 SDK.
    #[serde(rename = "type")]
    pub kind: String,
    /// Name for people.
    pub display_name: String,
    /// The part before the slash.
    pub organization: String,
    /// The same, as OpenAI's SDKs call it.
    #[serde(default)]
    pub owned_by: String,
    /// Where it comes from; may be empty.
    pub link: String,
    /// Its licence; may be empty.
    pub license: String,
    /// Tokens.
    pub context_length: u32,
    /// Never null: v1 fails without it.
    pub pricing: ModelPricing,
}

/// Prices per million tokens; all zero on your own hardware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelPricing {
    /// Per hour.
    pub hourly: f64,
    /// Per million prompt tokens.
    pub input: f64,
    /// Per million completion tokens.
    pub output: f64,
    /// Base price.
    pub base: f64,
    /// Price of fine-tuning.
    pub finetune: f64,
}

/// An item of the undocumented `/v1/autoscale/models`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoscaleModel {
    /// The model's id.
    pub name: String,
}

//! `/v1/models`: a bare array, as Together's SDKs expect. `/v1/pulls`: downloads from a hub, which are ours alone.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::Schema;

use crate::endpoints::Nullable;
use crate::enums::{ModelKind, ModelObject, PullState};
use crate::openapi::{OWNER, texts};

/// One model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Model {
    /// `<org>/<name>`, or a running endpoint's name.
    pub id: String,
    /// Always `model`.
    #[schema(value_type = ModelObject)]
    pub object: String,
    /// Creation time in Unix seconds.
    pub created: i64,
    /// `chat`, `language` or `embedding` here; another word than the contract's ten breaks the v1 SDK.
    #[serde(rename = "type")]
    #[schema(value_type = ModelKind)]
    pub kind: String,
    /// Display name.
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
    /// Context length in tokens.
    pub context_length: u32,
    /// Never null: v1 fails without it.
    pub pricing: ModelPricing,
}

/// Prices per million tokens; all zero on your own hardware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AutoscaleModel {
    /// The model's id.
    pub name: String,
}

/// `POST /v1/pulls`: fetch a model from the hub into the model store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatePullRequest {
    /// `ORG/NAME`, with `@REVISION` and `:FILE` if they are not the usual ones.
    #[serde(default, deserialize_with = "serde_with::As::<serde_with::DefaultOnNull>::deserialize")]
    #[schema(
        required = true,
        pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9_+-][A-Za-z0-9._+-]*(/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)*)?(:[A-Za-z0-9_+-][A-Za-z0-9._+-]*(/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)*)?$",
        example = "dedi/demo"
    )]
    pub model: String,
    /// The tenant that it is for; only an admin may name another than its own. An admin's is everyone's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[a-z0-9-]{1,39}$")]
    pub owner: Option<String>,
    /// Whether endpoints that were created with another revision are given this one at their next launch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace: Option<bool>,
}

/// `PATCH /v1/models/{model}`: whose a model is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShareModelRequest {
    /// The tenants that hold it; null makes it everyone's, and if absent nothing is changed.
    #[serde(
        default,
        deserialize_with = "serde_with::rust::double_option::deserialize",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(schema_with = tenants)]
    pub holders: Nullable<Vec<String>>,
}

fn tenants() -> Schema {
    texts(OWNER, 1_000)
}

/// The tenants that hold a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelHolders {
    /// Always `model.holders`.
    pub object: String,
    /// `ORG/NAME`.
    pub model: String,
    /// The tenants that hold it; null if it is everyone's.
    pub holders: Option<Vec<String>>,
}

/// `POST /v1/checks`: read a model's files and compare them with what they must be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateCheckRequest {
    /// `ORG/NAME`.
    #[serde(default, deserialize_with = "serde_with::As::<serde_with::DefaultOnNull>::deserialize")]
    #[schema(
        required = true,
        pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$",
        example = "dedi/demo"
    )]
    pub model: String,
    /// What is there is right from now on; only for models that came from no hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept: Option<bool>,
}

/// One check of a model's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelCheck {
    /// Always `model.check`.
    pub object: String,
    /// `ORG/NAME`.
    pub model: String,
    /// `running`, `done` when all is right, or `failed`.
    #[schema(value_type = PullState)]
    pub state: String,
    /// Percent of the bytes that were read; null until they are counted.
    pub percent: Option<u8>,
    /// Bytes that were read.
    pub bytes_done: u64,
    /// Bytes in all.
    pub bytes_total: u64,
    /// How many files are right, once done.
    pub files: Option<u64>,
    /// Of those, files that nothing was known of, since no hub speaks of them and they were never used or checked before:
    /// what they are now is what they must be from then on.
    #[serde(default)]
    pub files_new: Option<u64>,
    /// Which file is wrong and what helps: a sentence.
    pub message: Option<String>,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339; null while it runs.
    pub ended_at: Option<String>,
}

/// One download.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelPull {
    /// Always `model.pull`.
    pub object: String,
    /// `ORG/NAME`; a model has one download at a time.
    pub model: String,
    /// Branch, tag or commit that was asked for.
    pub revision: String,
    /// The GGUF file or quantisation that was asked for, if one was.
    pub file: Option<String>,
    /// `queued`, `running`, `done` or `failed`.
    #[schema(value_type = PullState)]
    pub state: String,
    /// Percent of the bytes that are here; null until the hub has said how many there are.
    pub percent: Option<u8>,
    /// Bytes that are here.
    pub bytes_done: u64,
    /// Bytes in all.
    pub bytes_total: Option<u64>,
    /// Bytes that a next try need not fetch again; null while it is not known to have failed.
    pub bytes_kept: Option<u64>,
    /// The commit that was fetched, once done.
    pub commit: Option<String>,
    /// Why it failed: a code for programs.
    pub code: Option<String>,
    /// Why it failed, or what it waits for: a sentence.
    pub message: Option<String>,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339; null while it runs.
    pub ended_at: Option<String>,
}

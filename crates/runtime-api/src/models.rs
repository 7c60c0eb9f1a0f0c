//! Where a runtime of this host gets a model's files from. One that mounts models by their name needs none of it.

use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use dedi_domain::engine::ModelFormat;

use crate::ModelRef;

/// Finds models' files on this host.
#[async_trait]
pub trait ModelResolver: fmt::Debug + Send + Sync {
    /// The files of that revision. Answers within seconds, also where a disk hangs.
    async fn resolve(&self, model: &ModelRef) -> Result<ModelFiles, ModelUnavailable>;
}

/// A model's files on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFiles {
    /// What an engine is given: the model's file, or its folder.
    pub path: PathBuf,
    /// What kind of files they are. `None` where nobody says, which every engine may try.
    pub format: Option<ModelFormat>,
}

/// Why a model's files are not to be had; each a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelUnavailable {
    /// They are not there or can't be read, either of which may pass.
    #[error("{0}")]
    NotNow(String),
    /// They can't be used, or are of another revision: trying again as before can't help.
    #[error("{0}")]
    Unusable(String),
    /// Nobody could say in time what they are.
    #[error("{0}")]
    Unknown(String),
}

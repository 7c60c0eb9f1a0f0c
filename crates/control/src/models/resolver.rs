//! Where runtimes of this host find models: in the store, and no other revision than the one that was asked for.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use dedi_domain::engine::ModelFormat;
use dedi_runtime_api::{ModelFiles, ModelRef, ModelResolver, ModelUnavailable};

use super::pin::mismatch;
use super::reader::{BlockingReader, NoAnswer, READ_MAX};
use super::{ModelError, ModelStore};

/// The model store as runtimes see it. One look at a time; a disk that hangs holds up launches and nothing else.
#[derive(Clone, Debug)]
pub struct StoredModels(BlockingReader);

impl StoredModels {
    /// The models of the store at `folder`, which need not exist yet.
    pub fn new(folder: PathBuf) -> Self {
        Self(BlockingReader::new(Arc::new(ModelStore::new(folder)), 1))
    }
}

#[async_trait]
impl ModelResolver for StoredModels {
    async fn resolve(&self, model: &ModelRef) -> Result<ModelFiles, ModelUnavailable> {
        let model = model.clone();
        match self.0.ask_now(READ_MAX, move |models| find(models, &model)).await {
            Ok(found) => found.map_err(ModelUnavailable::from),
            Err(why @ NoAnswer::Late(_)) => Err(ModelUnavailable::Unknown(why.to_string())),
            Err(why @ NoAnswer::Panicked) => Err(ModelUnavailable::Unusable(why.to_string())),
        }
    }
}

fn find(models: &ModelStore, model: &ModelRef) -> Result<ModelFiles, ModelError> {
    if let Some(revision) = &model.revision
        && let Some(why) = mismatch(&model.name, revision, models.pin(&model.name)?.as_deref())
    {
        return Err(ModelError::Unusable(why));
    }
    let found = models.files(&model.name)?;
    let format = if found.path == found.folder { ModelFormat::Safetensors } else { ModelFormat::Gguf };
    Ok(ModelFiles { path: found.path, format: Some(format) })
}

impl From<ModelError> for ModelUnavailable {
    fn from(err: ModelError) -> Self {
        let why = err.to_string();
        match err {
            ModelError::Absent(_) | ModelError::Unreadable(_) => Self::NotNow(why),
            ModelError::Unusable(_) => Self::Unusable(why),
        }
    }
}

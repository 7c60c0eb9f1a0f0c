//! What the use cases of downloads need.

use std::sync::Arc;

use crate::service::models::Models;

pub(crate) struct ModelPulls {
    pub(super) models: Arc<Models>,
}

impl ModelPulls {
    pub(crate) fn new(models: Arc<Models>) -> Self {
        Self { models }
    }
}

//! A model as answers show it.

use dedi_api::{Model, ModelPricing};

use crate::service::models::Listed;

pub(super) fn model(it: Listed) -> Model {
    Model {
        id: it.id,
        object: "model".to_owned(),
        created: it.modified_secs,
        kind: if it.is_embedding { "embedding" } else { "chat" }.to_owned(),
        display_name: it.display_name,
        organization: it.model.org().to_owned(),
        owned_by: it.model.org().to_owned(),
        link: it.link,
        license: it.license,
        context_length: it.context_tokens,
        pricing: ModelPricing::default(),
    }
}

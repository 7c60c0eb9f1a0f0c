//! `PATCH /v1/models/{model}`: the operator says whose a model is.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use dedi_api::ModelHolders;
use dedi_domain::Owner;
use dedi_domain::model_rights::{Holders, ModelAct};

use super::auth::Caller;
use super::body::JsonBody;
use super::deployable::no_model;
use super::error::ApiError;
use super::{audit, model_rights, models};
use crate::shared::Shared;
use crate::store::AuditAction;

/// Tenants that one request may name.
const HOLDERS_MAX: usize = 1_000;

pub(super) async fn share(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    body: JsonBody,
) -> Result<Json<ModelHolders>, ApiError> {
    model_rights::must_by_role(&caller, ModelAct::Share)?;
    let model = models::named(path)?;
    model_rights::must(&shared, &caller, &model, ModelAct::Share).await?;
    let known = shared.store.holders().await?.remove(&model);
    if known.is_none() && !model_rights::is_here(&shared, &model).await? {
        return Err(no_model(model.as_str()));
    }
    let holders = match body.fields.texts("holders")? {
        None => known.unwrap_or(Holders::Everyone),
        Some(None) => Holders::Everyone,
        Some(Some(slugs)) => {
            if slugs.len() > HOLDERS_MAX {
                let message = format!("holders may name {HOLDERS_MAX} accounts, got {}", slugs.len());
                return Err(ApiError::field("holders", message));
            }
            let parsed: Result<BTreeSet<Owner>, _> = slugs.iter().map(|it| Owner::parse(it)).collect();
            let tenants = parsed.map_err(|err| ApiError::field("holders", err.0))?;
            if tenants.is_empty() {
                let message = "holders must name an account; null makes the model everyone's";
                return Err(ApiError::field("holders", message));
            }
            Holders::Tenants(tenants)
        }
    };
    let slugs = match &holders {
        Holders::Everyone => None,
        Holders::Tenants(tenants) => Some(tenants.iter().map(ToString::to_string).collect::<Vec<_>>()),
    };
    if body.fields.texts("holders")?.is_some() {
        let whose = slugs.as_ref().map_or("everyone's".to_owned(), |it| format!("that of {}", it.join(", ")));
        let entry =
            audit::entry(&caller, AuditAction::ModelShare, model.as_str(), format!("made it {whose}"));
        let tenants = match &holders {
            Holders::Everyone => None,
            Holders::Tenants(tenants) => Some(tenants),
        };
        shared.store.share_model(&model, tenants, &entry, shared.clock.now()).await?;
        shared.looks.ask().await;
    }
    Ok(Json(ModelHolders { object: "model.holders".to_owned(), model: model.to_string(), holders: slugs }))
}

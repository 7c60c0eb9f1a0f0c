//! `PATCH /v1/models/{model}`: the operator says whose a model is.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::{ModelHolders, ShareModelRequest};
use dedi_domain::Owner;
use dedi_domain::model_rights::{Holders, ModelAct};

use crate::http::body::JsonBody;
use crate::http::error::ApiError;
use crate::http::v1::path::NamedModel;
use crate::service::Caller;
use crate::service::models::{Models, must_by_role};

pub(crate) async fn share(
    State(models): State<Arc<Models>>,
    caller: Caller,
    NamedModel(model): NamedModel,
    body: JsonBody,
) -> Result<Json<ModelHolders>, ApiError> {
    must_by_role(&caller, ModelAct::Share)?;
    let request: ShareModelRequest = body.read()?;
    let asked = match request.holders {
        None => None,
        Some(None) => Some(Holders::Everyone),
        Some(Some(slugs)) => {
            let parsed: Result<BTreeSet<Owner>, _> = slugs.iter().map(|it| Owner::parse(it)).collect();
            Some(Holders::Tenants(parsed.map_err(|err| ApiError::field("holders", err.0))?))
        }
    };
    let holders = match models.share(&caller, &model, asked).await? {
        Holders::Everyone => None,
        Holders::Tenants(tenants) => Some(tenants.iter().map(ToString::to_string).collect()),
    };
    Ok(Json(ModelHolders { object: "model.holders".to_owned(), model: model.to_string(), holders }))
}

//! `POST /v1/keys`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dedi_api::{CreateKeyRequest, KeyInfo};
use dedi_domain::{Owner, Role, Scope};

use super::view::info;
use crate::clock::Clock;
use crate::http::body::JsonBody;
use crate::http::error::ApiError;
use crate::service::Caller;
use crate::service::keys::{CreatedKey, Keys, NewKey};

pub(crate) async fn create(
    State(keys): State<Arc<Keys>>,
    State(clock): State<Clock>,
    caller: Caller,
    body: JsonBody,
) -> Result<Json<KeyInfo>, ApiError> {
    caller.must_manage_keys()?;
    let request: CreateKeyRequest = body.read()?;
    let role = request.role.map(|it| Role::parse(&it)).transpose();
    let owner = request.owner.map(|it| Owner::parse(&it)).transpose();
    let scope = request.models.map_or_else(|| Ok(Scope::default()), |it| Scope::parse(&it));
    let new = NewKey {
        role: role.map_err(|err| ApiError::field("role", err.0))?,
        owner: owner.map_err(|err| ApiError::field("owner", err.0))?,
        name: request.name.unwrap_or_default(),
        expires_in_days: request.expires_in_days,
        scope: scope.map_err(|err| ApiError::field("models", err.0))?,
    };
    let CreatedKey { shown, text } = keys.create(&caller, new).await?;
    Ok(Json(info(shown, Some(text.reveal().to_owned()), &clock)))
}

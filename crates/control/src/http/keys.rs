//! `/v1/keys`: a tenant's owners manage its keys, an admin those of the host. A key never makes a stronger one.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use dedi_api::{KeyInfo, List, RefusalCode};
use dedi_domain::keys::KeyText;
use dedi_domain::{KeyId, Owner, Role, Scope};
use http::StatusCode;

use super::audit;
use super::auth::Caller;
use super::body::{JsonBody, Query};
use super::display_name::check_display_name;
use super::error::ApiError;
use super::fields::shown;
use super::views;
use crate::shared::{Shared, random_digits};
use crate::store::{Actor, AuditAction, AuditEntry, Judged, StoreError, StoredKey};

/// Longest life that can be asked for.
const DAYS_MAX: i64 = 3_650;

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    query: Query,
) -> Result<Json<List<KeyInfo>>, ApiError> {
    caller.must_manage_keys()?;
    let keys = shared.store.keys(reach(&caller)).await?;
    let wanted = query.get("owner");
    let keys = keys.into_iter().filter(|it| wanted.is_none_or(|wanted| it.owner.as_str() == wanted));
    Ok(Json(List::new(keys.map(|it| info(&shared, it, None)).collect())))
}

pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    body: JsonBody,
) -> Result<Json<KeyInfo>, ApiError> {
    caller.must_manage_keys()?;
    let fields = &body.fields;
    let role = match fields.text("role")?.flatten() {
        Some(word) => Role::parse(&word).map_err(|err| ApiError::field("role", err.0))?,
        None => Role::Developer,
    };
    if role > caller.0.role {
        let own = caller.0.role.as_str();
        let message =
            format!("A key with the role `{own}` has no permission to make one with `{}`", role.as_str());
        return Err(ApiError::Forbidden(message));
    }
    let owner = match fields.text("owner")?.flatten() {
        Some(text) => Owner::parse(&text).map_err(|err| ApiError::field("owner", err.0))?,
        None => caller.0.owner.clone(),
    };
    if owner != caller.0.owner && caller.0.role != Role::Admin {
        let message = "Only an admin key has permission to make keys of another owner";
        return Err(ApiError::Forbidden(message.to_owned()));
    }
    let name = fields.text("name")?.flatten().unwrap_or_default();
    let name = check_display_name(&name).map_err(|_unfit| {
        ApiError::field("name", "name may have 256 characters, all of which can be seen")
    })?;
    let now = shared.clock.now();
    let expires_at = match fields.integer("expires_in_days")?.flatten() {
        None => None,
        Some(days) => Some(now.plus(life(days)?)),
    };
    let scope = match fields.texts("models")?.flatten() {
        Some(entries) => Scope::parse(&entries).map_err(|err| ApiError::field("models", err.0))?,
        None => Scope::default(),
    };
    let n_keys = shared.store.keys(Some(&owner)).await?.len();
    if n_keys >= shared.config.keys_per_owner_max as usize {
        return Err(ApiError::Invalid {
            message: format!("This account has {n_keys} keys, which is the most it may have; delete one"),
            param: None,
            code: Some(RefusalCode::QuotaExceeded),
        });
    }
    let text = KeyText::from_random(&random_digits());
    let key = StoredKey {
        id: text.id(),
        name,
        owner,
        role,
        created_at: now,
        expires_at,
        scope,
        last_used_at: None,
    };
    let message = match key.scope.entries() {
        None => format!("made a key with the role `{}`", role.as_str()),
        Some(list) => format!("made a key with the role `{}`, for {}", role.as_str(), list.join(", ")),
    };
    let entry = AuditEntry {
        owner: Some(key.owner.clone()),
        by: Actor::from(&caller.0),
        action: AuditAction::KeyCreate,
        object: key.id.to_string(),
        message,
    };
    shared.store.insert_key(&key, text.hash(), &entry).await?;
    changed(&shared).await?;
    tracing::info!(key.id = %key.id, owner = %key.owner, role = role.as_str(), by = %caller.0.key, "made an API key");
    Ok(Json(info(&shared, key, Some(text.reveal().to_owned()))))
}

pub(super) async fn revoke(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    caller.must_manage_keys()?;
    let Path(id) = path.map_err(|_not_text| ApiError::request("The path could not be read"))?;
    let key = KeyId(id.clone());
    let entry = audit::entry(&caller, AuditAction::KeyRevoke, &id, "revoked a key".to_owned());
    let (times, judged) = (shared.clock.times(), shared.clock.judged());
    let judged = Judged { times: &times, now: judged };
    let revoked = shared.store.revoke_key(reach(&caller), &key, entry, shared.clock.now(), judged).await;
    match revoked {
        Ok(()) => {}
        Err(StoreError::NotFound) => return Err(ApiError::NotFound(format!("Key {} not found", shown(&id)))),
        Err(StoreError::Conflict) => {
            return Err(ApiError::request(
                "This is the last admin key of this server; make another one first",
            ));
        }
        Err(other) => return Err(other.into()),
    }
    changed(&shared).await?;
    tracing::info!(key.id = %id, by = %caller.0.key, "revoked an API key");
    Ok(StatusCode::NO_CONTENT)
}

/// The tenants whose keys the caller manages; `None` is all.
fn reach(caller: &Caller) -> Option<&Owner> {
    (caller.0.role != Role::Admin).then_some(&caller.0.owner)
}

fn life(days: i64) -> Result<Duration, ApiError> {
    match u64::try_from(days) {
        Ok(fits) if (1..=DAYS_MAX).contains(&days) => Ok(Duration::from_secs(fits * 86_400)),
        Ok(_) | Err(_) => Err(ApiError::field(
            "expires_in_days",
            format!("expires_in_days must be 1 to {DAYS_MAX}, got {days}"),
        )),
    }
}

/// Requests of both kinds are checked against the new keys from here on.
async fn changed(shared: &Shared) -> Result<(), ApiError> {
    Ok(shared.reload_keys().await?)
}

fn info(shared: &Shared, it: StoredKey, text: Option<String>) -> KeyInfo {
    let expires_at = it.expiry(&shared.clock.times());
    KeyInfo {
        object: "api_key".to_owned(),
        id: it.id.to_string(),
        name: it.name,
        owner: it.owner.to_string(),
        role: it.role.as_str().to_owned(),
        created_at: shared.clock.show(it.created_at),
        expires_at: expires_at.map(views::time),
        last_used_at: it.last_used_at.map(|at| shared.clock.show(at)),
        models: it.scope.entries(),
        key: text,
    }
}

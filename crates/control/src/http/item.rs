//! Everything below one endpoint. Names contain slashes, so one wildcard route takes the whole rest of the path
//! and the known endings are told apart here; no name or id ends like one of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, Path, Request, State};
use axum::response::{IntoResponse, Response};
use dedi_api::{List, RefusalCode};
use dedi_domain::Desired;
use http::Method;
use http::header::ALLOW;

use super::auth::Caller;
use super::body::{JsonBody, Query};
use super::error::ApiError;
use super::{fields, logs, update, views};
use crate::shared::Shared;
use crate::store::EndpointKey;

/// Events in one answer, at most and by default.
const EVENTS_MAX: i64 = 1_000;
const EVENTS_DEFAULT: i64 = 100;

/// What of the endpoint is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Itself,
    Events,
    Logs,
    Replicas,
    Adapters,
}

impl Part {
    /// The parts by the endings of their paths; the last one is what has none of the others.
    pub(crate) const ALL: [(&str, Self); 5] = [
        ("/events", Self::Events),
        ("/logs", Self::Logs),
        ("/replicas", Self::Replicas),
        ("/adapters", Self::Adapters),
        ("", Self::Itself),
    ];

    /// What can be done with it, as the header `Allow` says it.
    pub(crate) fn methods(self) -> &'static str {
        match self {
            Self::Itself => "DELETE, GET, HEAD, PATCH",
            Self::Events | Self::Logs | Self::Replicas => "GET, HEAD",
            Self::Adapters => "DELETE, GET, HEAD, POST",
        }
    }
}

fn split(rest: &str) -> (&str, Part) {
    let found = Part::ALL.into_iter().find_map(|(suffix, part)| Some((rest.strip_suffix(suffix)?, part)));
    found.unwrap_or((rest, Part::Itself))
}

pub(super) async fn dispatch(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    query: Query,
    request: Request,
) -> Result<Response, ApiError> {
    let Path(rest) = path.map_err(|_not_text| ApiError::request("The path could not be read"))?;
    let (named, part) = split(&rest);
    let named = fields::shown(named);
    let method = request.method().clone();
    let refused = || Ok(([(ALLOW, part.methods())], ApiError::Method).into_response());
    if part.methods().split(", ").all(|it| it != method.as_str()) {
        return refused();
    }
    match (part, method) {
        (Part::Itself, Method::GET | Method::HEAD) => {
            let desired = find(&shared, &caller, &named).await?;
            Ok(Json(views::endpoint(&shared, desired).await?).into_response())
        }
        (Part::Itself, Method::PATCH) => {
            let body = JsonBody::from_request(request, &shared).await?;
            update::patch(&shared, &caller, &named, &body.fields).await
        }
        (Part::Itself, Method::DELETE) => update::delete(&shared, &caller, &named).await,
        (Part::Events, Method::GET | Method::HEAD) => {
            let desired = find(&shared, &caller, &named).await?;
            events(&shared, &desired, &query).await
        }
        (Part::Logs, Method::GET | Method::HEAD) => {
            let desired = find(&shared, &caller, &named).await?;
            logs::read(&shared, &caller, &desired, &query).await
        }
        (Part::Replicas, Method::GET | Method::HEAD) => {
            let desired = find(&shared, &caller, &named).await?;
            let view = views::fresh_view(shared.store.rows(desired).await?, &shared.world());
            Ok(Json(List::new(views::replicas(&view, &shared.world(), &shared.clock))).into_response())
        }
        (Part::Adapters, Method::GET | Method::HEAD | Method::POST | Method::DELETE) => {
            find(&shared, &caller, &named).await?;
            Err(ApiError::Invalid {
                message: "LoRA adapters are not available on this server".to_owned(),
                param: None,
                code: Some(RefusalCode::AdaptersUnsupported),
            })
        }
        (Part::Itself | Part::Events | Part::Logs | Part::Replicas | Part::Adapters, _) => refused(),
    }
}

/// The caller's endpoint of that id or name. What is malformed, unknown or another tenant's is not there.
async fn find(shared: &Shared, caller: &Caller, named: &str) -> Result<Desired, ApiError> {
    caller.must_read()?;
    let key = EndpointKey::parse(named).ok_or_else(|| ApiError::no_endpoint(named))?;
    let found = shared.store.endpoint(&caller.0.owner, &key).await;
    let found = found.map_err(|err| ApiError::of_lookup(err, named))?;
    if caller.shows(&found) { Ok(found) } else { Err(ApiError::no_endpoint(named)) }
}

async fn events(shared: &Shared, desired: &Desired, query: &Query) -> Result<Response, ApiError> {
    let after = query.number("after")?.unwrap_or(0);
    let limit = query.number("limit")?.unwrap_or(EVENTS_DEFAULT).clamp(1, EVENTS_MAX);
    let limit = u32::try_from(limit).unwrap_or(1);
    let events = shared.store.events(desired.id, after, limit).await?;
    Ok(Json(List::new(events.into_iter().map(|it| views::event(it, &shared.clock)).collect()))
        .into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_told_from_names_with_slashes() {
        assert_eq!(split("a/b/c-a32b82a1"), ("a/b/c-a32b82a1", Part::Itself));
        assert_eq!(split("a/b/c-a32b82a1/events"), ("a/b/c-a32b82a1", Part::Events));
        assert_eq!(split("a/logs-a32b82a1"), ("a/logs-a32b82a1", Part::Itself));
        assert_eq!(split("endpoint-1/adapters"), ("endpoint-1", Part::Adapters));
        assert_eq!(split("events"), ("events", Part::Itself));
    }
}

//! `GET /v1/models`: a bare array. OpenAI's SDKs, which read the same route, get the list in an object: a bare array
//! breaks them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use dedi_api::{List, Model};
use http::HeaderMap;
use http::header::USER_AGENT;

use super::view::model;
use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::service::Caller;
use crate::service::models::Models;

pub(crate) async fn list(
    State(models): State<Arc<Models>>,
    caller: Caller,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let listed = models.list(&caller, query.boolean("dedicated")?).await?;
    let shown: Vec<Model> = listed.into_iter().map(model).collect();
    Ok(if is_openai(&headers) { Json(List::new(shown)).into_response() } else { Json(shown).into_response() })
}

fn is_openai(headers: &HeaderMap) -> bool {
    dedi_api::clients::is_openai(headers.get(USER_AGENT).and_then(|it| it.to_str().ok()))
}

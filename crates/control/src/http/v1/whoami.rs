//! `/v1/whoami` and `/v3/whoami`: the official command line asks before each command.

use axum::Json;
use axum::response::{IntoResponse, Response};
use dedi_api::{Named, Project, WhoamiV1, WhoamiV3};
use http::header::USER_AGENT;
use http::{HeaderMap, StatusCode};

use crate::http::error::ApiError;
use crate::service::Caller;

/// A tenant has one project.
const PROJECT: &str = "default";

pub(super) async fn v1(Caller(principal): Caller) -> Json<WhoamiV1> {
    let owner = principal.owner.to_string();
    Json(WhoamiV1 {
        api_key_id: principal.key.to_string(),
        organization_id: owner.clone(),
        organization_name: owner.clone(),
        project_id: owner,
        project_name: "Default".to_owned(),
        project_slug: PROJECT.to_owned(),
        user_id: None,
    })
}

pub(super) async fn v3(headers: HeaderMap, caller: Result<Caller, ApiError>) -> Result<Response, ApiError> {
    let Caller(principal) = match caller {
        Ok(caller) => caller,
        Err(_refused) if is_command_line(&headers) => return Ok(StatusCode::NO_CONTENT.into_response()),
        Err(refused) => return Err(refused),
    };
    let owner = principal.owner.to_string();
    let body = WhoamiV3 {
        kind: "project_api_key".to_owned(),
        api_key: Named { id: principal.key.to_string(), name: None },
        organization: Named { id: owner.clone(), name: Some(owner.clone()) },
        project: Project { id: owner, name: "Default".to_owned(), slug: PROJECT.to_owned() },
    };
    Ok(Json(body).into_response())
}

/// The command line of `together` 2.41 and later, which shows its own stack trace for any refusal here. Told
/// nothing, it goes on to its command and shows what that is refused with: a wrong key. Of its SDK only the
/// command line comes to this route.
fn is_command_line(headers: &HeaderMap) -> bool {
    let agent = headers.get(USER_AGENT).and_then(|it| it.to_str().ok());
    agent.is_some_and(|it| it.starts_with("AsyncTogether/Python"))
}

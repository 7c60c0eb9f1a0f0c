//! `/v1/whoami` and `/v3/whoami`: the official command line asks before each command.

use axum::Json;
use dedi_api::{Named, Project, WhoamiV1, WhoamiV3};

use super::auth::Caller;

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

pub(super) async fn v3(Caller(principal): Caller) -> Json<WhoamiV3> {
    let owner = principal.owner.to_string();
    Json(WhoamiV3 {
        kind: "project_api_key".to_owned(),
        api_key: Named { id: principal.key.to_string(), name: None },
        organization: Named { id: owner.clone(), name: Some(owner.clone()) },
        project: Project { id: owner, name: "Default".to_owned(), slug: PROJECT.to_owned() },
    })
}

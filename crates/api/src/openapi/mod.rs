//! The wire as an OpenAPI 3.1 document: schemas from the types, operations from the tables beside this file. It
//! describes what clients may rely on; that routers serve exactly these operations is tested where the routers are.

mod inference;
mod management;
mod operation;
mod shapes;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use operation::{ERRORS, Operation, Schemas, request_id};

pub use shapes::LogitBias;
pub(crate) use shapes::{OWNER, texts};

/// The path that serves the document.
pub const PATH: &str = "/openapi.json";

/// Method and path of every operation, each method in capitals, for tests that hold it against routers.
pub fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let pair = |path: &str, method: &str| (method.to_ascii_uppercase(), path.to_owned());
    paths
        .flat_map(|(path, item)| {
            item.as_object().into_iter().flatten().map(move |(method, _)| pair(path, method))
        })
        .collect()
}

/// The document of a server of that version.
pub fn document(version: &str) -> Value {
    let mut schemas = Schemas::default();
    let mut paths = Map::new();
    let operations = management::operations(&mut schemas)
        .into_iter()
        .chain(inference::operations(&mut schemas))
        .chain(around());
    for it in operations {
        let (path, method) = (it.path, it.method);
        let item = paths.entry(path).or_insert_with(|| json!({}));
        if let Value::Object(item) = item {
            item.insert(method.to_owned(), it.into_json());
        }
    }
    let error = schemas.of::<crate::ErrorBody>();
    let responses: Map<String, Value> = ERRORS
        .iter()
        .map(|(status, text)| {
            let mut headers = json!({"x-request-id": request_id()});
            if matches!(status, 429 | 503) {
                headers["retry-after-ms"] = json!({
                    "description": "When to try again, in milliseconds",
                    "schema": {"type": "string", "pattern": "^[0-9]+$"},
                });
            }
            let content = json!({"application/json": {"schema": error}});
            (status.to_string(), json!({"description": text, "headers": headers, "content": content}))
        })
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "dedi",
            "description": "Dedicated model endpoints on your own machines: `/v1/endpoints` makes them, \
                `/v1/chat/completions`, `/v1/completions` and `/v1/embeddings` use them. Fields that are not \
                listed are ignored in requests and may be added to answers.",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This server"}],
        "security": [{"bearerAuth": []}],
        "tags": [
            {"name": "Endpoints", "description": "What runs, and how."},
            {"name": "Hardware", "description": "What it can run on."},
            {"name": "Models", "description": "What can be run."},
            {"name": "Inference", "description": "Talking to it."},
            {"name": "Keys", "description": "Who may."},
            {"name": "Usage", "description": "How long it ran."},
            {"name": "Server", "description": "The server itself; open to everybody."},
        ],
        "paths": paths,
        "components": {
            "schemas": schemas.into_json(),
            "responses": responses,
            "securitySchemes": {
                "bearerAuth": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of this server; the first one is in the file admin.key of its data folder.",
                },
            },
        },
    })
}

/// The routes around the API; none needs a key.
fn around() -> Vec<Operation> {
    vec![
        Operation::get("/healthz", "health", "Server", "Whether the server lives")
            .open()
            .answers_text("It lives")
            .errors(&[400]),
        Operation::get("/readyz", "readiness", "Server", "Whether the server takes requests")
            .open()
            .answers_text("It takes requests")
            .says(503, "It is stopping", "text/plain", json!({"type": "string"}))
            .errors(&[400]),
        Operation::get(PATH, "openapi", "Server", "This document")
            .open()
            .says(200, "The document", "application/json", json!({"type": "object"}))
            .errors(&[400]),
    ]
}

//! One operation, said in few words, and the schemas it refers to.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, schema::Schema};

use crate::enums::ListObject;

/// Statuses that are refusals, all with the same body.
pub(super) const ERRORS: &[(u16, &str)] = &[
    (400, "The request is wrong; `param` names the field where there is one"),
    (401, "No key, or one that is not valid"),
    (403, "Unauthorized: no valid key, or one whose role does not allow this"),
    (404, "Not found, or another tenant's"),
    (408, "The request did not arrive in time"),
    (413, "The request is too long"),
    (414, "The path and query are too long"),
    (415, "The body is not uncompressed JSON"),
    (429, "Too many requests; try again after `retry-after-ms`, or with a valid key"),
    (431, "The header fields are too many or too long"),
    (500, "The server failed"),
    (502, "The replica failed"),
    (503, "Not possible now; try again after `retry-after-ms`"),
    (504, "The replica did not answer in time"),
];

/// Component schemas by name.
#[derive(Default)]
pub(super) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// A reference to the type's schema, which is listed with all that it refers to.
    pub(super) fn of<T: ToSchema>(&mut self) -> Value {
        let mut found: Vec<(String, RefOr<Schema>)> = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut found);
        for (name, schema) in found {
            self.list(name, serde_json::to_value(schema).unwrap_or_default());
        }
        reference(&T::name())
    }

    /// The schema of a list of them.
    pub(super) fn list_of<T: ToSchema>(&mut self) -> Value {
        let properties = json!({
            "object": self.of::<ListObject>(),
            "data": {"type": "array", "items": self.of::<T>()},
        });
        json!({"type": "object", "required": ["object", "data"], "properties": properties})
    }

    /// Says more about a listed type than its fields do each by itself.
    pub(super) fn refine(&mut self, name: &str, keyword: &str, more: Value) {
        if let Some(Value::Object(schema)) = self.0.get_mut(name) {
            schema.insert(keyword.to_owned(), more);
        }
    }

    /// Takes a schema out of the list by a reference to it.
    pub(super) fn take(&mut self, reference: &Value) -> Value {
        let name = reference["$ref"].as_str().and_then(|it| it.rsplit('/').next()).unwrap_or_default();
        self.0.remove(name).unwrap_or_default()
    }

    /// Lists a schema that no type has.
    pub(super) fn list(&mut self, name: String, schema: Value) {
        self.0.entry(name).or_insert(schema);
    }

    pub(super) fn into_json(self) -> Map<String, Value> {
        self.0.into_iter().collect()
    }
}

/// The header that names a request, as the log does.
pub(super) fn request_id() -> Value {
    json!({"description": "The request's name in the server's log", "schema": {"type": "string"}})
}

pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// One method of one path.
pub(super) struct Operation {
    pub(super) path: &'static str,
    pub(super) method: &'static str,
    document: Map<String, Value>,
    parameters: Vec<Value>,
    responses: Map<String, Value>,
}

impl Operation {
    pub(super) fn new(method: &'static str, path: &'static str, id: &str, tag: &str, summary: &str) -> Self {
        let mut document = Map::new();
        document.insert("operationId".to_owned(), id.into());
        document.insert("tags".to_owned(), json!([tag]));
        document.insert("summary".to_owned(), summary.into());
        Self { path, method, document, parameters: Vec::new(), responses: Map::new() }
    }

    pub(super) fn get(path: &'static str, id: &str, tag: &str, summary: &str) -> Self {
        Self::new("get", path, id, tag, summary)
    }

    /// Adds a description to the summary.
    pub(super) fn about(mut self, text: &str) -> Self {
        self.document.insert("description".to_owned(), text.into());
        self
    }

    /// Marks the operation as public.
    pub(super) fn open(mut self) -> Self {
        self.document.insert("security".to_owned(), json!([]));
        self
    }

    /// A part of the path.
    pub(super) fn path(self, name: &str, text: &str) -> Self {
        self.parameter(name, "path", json!({"type": "string"}), text)
    }

    /// A member of the query.
    pub(super) fn query(self, name: &str, schema: Value, text: &str) -> Self {
        self.parameter(name, "query", schema, text)
    }

    pub(super) fn parameter(mut self, name: &str, place: &str, schema: Value, text: &str) -> Self {
        self.parameters.push(json!({
            "name": name,
            "in": place,
            "required": place == "path",
            "schema": schema,
            "description": text,
        }));
        self
    }

    /// Its body, JSON.
    pub(super) fn body(self, schema: Value) -> Self {
        self.body_if(true, schema)
    }

    /// Its body; none at all is an empty object.
    pub(super) fn optional_body(self, schema: Value) -> Self {
        self.body_if(false, schema)
    }

    fn body_if(mut self, is_required: bool, schema: Value) -> Self {
        let body = json!({"required": is_required, "content": {"application/json": {"schema": schema}}});
        self.document.insert("requestBody".to_owned(), body);
        self
    }

    /// What it answers when all is well.
    pub(super) fn answers(self, text: &str, schema: Value) -> Self {
        self.says(200, text, "application/json", schema)
    }

    pub(super) fn answers_text(self, text: &str) -> Self {
        self.says(200, text, "text/plain", json!({"type": "string"}))
    }

    pub(super) fn answers_nothing(mut self, text: &str) -> Self {
        self.responses.insert("204".to_owned(), json!({"description": text}));
        self
    }

    /// Adds a response in one media type.
    pub(super) fn says(mut self, status: u16, text: &str, media: &str, schema: Value) -> Self {
        let response = self.responses.entry(status.to_string()).or_insert_with(|| json!({"content": {}}));
        response["description"] = text.into();
        response["content"][media] = json!({"schema": schema});
        self
    }

    /// What can be done with the endpoint that the answer shows.
    pub(super) fn leads_to(mut self, operations: &[&str]) -> Self {
        let links: Map<String, Value> = operations
            .iter()
            .map(|it| {
                let parameters = json!({"endpointId": "$response.body#/id"});
                ((*it).to_owned(), json!({"operationId": it, "parameters": parameters}))
            })
            .collect();
        self.responses.entry("200").or_insert_with(|| json!({}))["links"] = links.into();
        self
    }

    /// Adds the error responses.
    pub(super) fn errors(mut self, statuses: &[u16]) -> Self {
        for status in statuses {
            let reference = json!({"$ref": format!("#/components/responses/{status}")});
            self.responses.insert(status.to_string(), reference);
        }
        self
    }

    pub(super) fn into_json(self) -> Value {
        // Whatever is asked for, its head can be too long.
        let mut this = self.errors(&[414, 431]);
        if !this.document.contains_key("security") {
            let named = this.responses.values_mut().filter_map(Value::as_object_mut);
            for response in named.filter(|it| !it.contains_key("$ref")) {
                response.insert("headers".to_owned(), json!({"x-request-id": request_id()}));
            }
        }
        if !this.parameters.is_empty() {
            this.document.insert("parameters".to_owned(), this.parameters.into());
        }
        this.document.insert("responses".to_owned(), this.responses.into());
        this.document.into()
    }
}

//! The operations of the control plane.

use serde_json::{Value, json};

use super::OWNER;
use super::operation::{Operation, Schemas};
use crate::enums::{EndpointKind, UsageKind};
use crate::{
    AuditEvent, AutoscaleModel, AvailabilityZones, CreateCheckRequest, CreateEndpointRequest,
    CreateKeyRequest, CreatePullRequest, DedicatedEndpoint, EndpointEvent, EndpointPlan, Hardware, KeyInfo,
    ListEndpoint, Model, ModelCheck, ModelHolders, ModelPull, ReplicaInfo, ShareModelRequest,
    UpdateEndpointRequest, UsageReport, WhoamiV1, WhoamiV3,
};

/// How any of them refuses.
const ANY: &[u16] = &[400, 403, 429, 500, 503];
/// How those refuse that name something.
const NAMED: &[u16] = &[400, 403, 404, 429, 500, 503];
/// How those refuse that have a body.
const SENT: &[u16] = &[400, 403, 404, 408, 413, 415, 429, 500, 503];

const ENDPOINT: &str = "/v1/endpoints/{endpointId}";
const MODEL: &str = "`ORG/NAME`; the slash may be encoded";
const ENDPOINT_ID: &str = "Its id or its name; a slash in a name may be encoded";

pub(super) fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let mut all = endpoints(schemas);
    all.extend(below_endpoint(schemas));
    all.extend(host(schemas));
    all.extend(pulls(schemas));
    all.extend(keys(schemas));
    all.push(usage(schemas));
    all.push(audit(schemas));
    all
}

fn boolean() -> Value {
    json!({"type": "boolean"})
}

fn whole(maximum: i64) -> Value {
    json!({"type": "integer", "format": "int64", "minimum": 0, "maximum": maximum})
}

fn endpoints(schemas: &mut Schemas) -> Vec<Operation> {
    let endpoint = schemas.of::<DedicatedEndpoint>();
    let plan = schemas.of::<EndpointPlan>();
    vec![
        Operation::get("/v1/endpoints", "listEndpoints", "Endpoints", "List your endpoints, newest first")
            .query("type", schemas.of::<EndpointKind>(), "Only those of this kind")
            .query("usage_type", schemas.of::<UsageKind>(), "Only those paid for like this")
            .query("mine", boolean(), "Only those of the caller, which all of them are")
            .answers("The endpoints", schemas.list_of::<ListEndpoint>())
            .errors(ANY),
        Operation::new("post", "/v1/endpoints", "createEndpoint", "Endpoints", "Create an endpoint")
            .about(
                "Answers at once; `state` shows how far it is. With `dry_run` nothing is created and the answer says \
                 what it would need.",
            )
            .query("dry_run", boolean(), "Only say what it would need")
            .query("availability_zone", json!({"type": "string"}), "The same as in the body, which wins")
            .parameter(
                "Idempotency-Key",
                "header",
                json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"}),
                "Makes a repeated request the same request for a day",
            )
            .body(schemas.of::<CreateEndpointRequest>())
            .answers("The endpoint, or the plan", json!({"anyOf": [endpoint, plan]}))
            .leads_to(&["getEndpoint", "updateEndpoint", "deleteEndpoint", "listEvents", "readLogs", "listReplicas"])
            .errors(SENT),
        Operation::get(ENDPOINT, "getEndpoint", "Endpoints", "Get an endpoint")
            .path("endpointId", ENDPOINT_ID)
            .answers("The endpoint", endpoint.clone())
            .errors(NAMED),
        Operation::new("patch", ENDPOINT, "updateEndpoint", "Endpoints", "Change, start or stop an endpoint")
            .about("Members that are absent stay as they are; of `autoscaling` one may come alone.")
            .path("endpointId", ENDPOINT_ID)
            .optional_body(schemas.of::<UpdateEndpointRequest>())
            .answers("The endpoint after the change", endpoint)
            .errors(SENT),
        Operation::new("delete", ENDPOINT, "deleteEndpoint", "Endpoints", "Delete an endpoint for good")
            .path("endpointId", ENDPOINT_ID)
            .answers_nothing("It is being deleted")
            .errors(NAMED),
    ]
}

fn below_endpoint(schemas: &mut Schemas) -> Vec<Operation> {
    let adapters = "/v1/endpoints/{endpointId}/adapters";
    let unsupported = |method, id, summary| {
        Operation::new(method, adapters, id, "Endpoints", summary)
            .about("This server has no LoRA adapters and refuses with the code `adapters_unsupported`.")
            .path("endpointId", ENDPOINT_ID)
            .errors(NAMED)
    };
    vec![
        Operation::get(
            "/v1/endpoints/{endpointId}/events",
            "listEvents",
            "Endpoints",
            "What happened to an endpoint",
        )
        .path("endpointId", ENDPOINT_ID)
        .query("after", whole(i64::MAX), "Only those with a larger id")
        .query("limit", whole(i64::MAX), "How many at most: 100 if absent, never more than 1000")
        .answers("The events, oldest first", schemas.list_of::<EndpointEvent>())
        .errors(NAMED),
        Operation::get("/v1/endpoints/{endpointId}/logs", "readLogs", "Endpoints", "The log of a launch")
            .path("endpointId", ENDPOINT_ID)
            .query("tail", whole(i64::MAX), "How many of its last lines: 100 if absent")
            .query("attempt", whole(i64::MAX), "Which launch; the last one if absent")
            .query("replica", json!({"type": "string"}), "The launch of this replica")
            .query(
                "follow",
                boolean(),
                "Whether to go on as it grows; the answer has an end only when the launch has ended, and is cut after an \
                 hour or when the server ends",
            )
            .query(
                "marks",
                boolean(),
                "With `follow`: whether a line that begins with U+001E names the place after each piece, and at the \
                 beginning",
            )
            .query(
                "from",
                json!({"type": "string", "pattern": "^[0-9]{1,9}\\.[0-9a-f]{1,16}-[0-9a-f]{1,16}-[0-9a-f]{1,16}$"}),
                "With `follow`: a place that a mark named, to go on from instead of the last lines",
            )
            .answers_text("The lines")
            .errors(NAMED),
        Operation::get(
            "/v1/endpoints/{endpointId}/replicas",
            "listReplicas",
            "Endpoints",
            "The replicas of an endpoint",
        )
        .path("endpointId", ENDPOINT_ID)
        .answers("The replicas, oldest first", schemas.list_of::<ReplicaInfo>())
        .errors(NAMED),
        unsupported("get", "listAdapters", "List adapters"),
        unsupported("post", "addAdapter", "Add an adapter"),
        unsupported("delete", "removeAdapter", "Remove an adapter"),
    ]
}

fn host(schemas: &mut Schemas) -> Vec<Operation> {
    let models = schemas.of::<Model>();
    let autoscale = schemas.of::<AutoscaleModel>();
    vec![
        Operation::get(
            "/v1/hardware",
            "listHardware",
            "Hardware",
            "The hardware configurations of this host",
        )
        .query("model", json!({"type": "string"}), "Only those that could hold it, with their availability")
        .answers("The configurations", schemas.list_of::<Hardware>())
        .errors(NAMED),
        Operation::get(
            "/v1/clusters/availability-zones",
            "listAvailabilityZones",
            "Hardware",
            "The zones' names",
        )
        .answers("The names", schemas.of::<AvailabilityZones>())
        .errors(ANY),
        Operation::get("/v1/models", "listModels", "Models", "What can be deployed, and what you run")
            .query("dedicated", boolean(), "Only what can be deployed")
            .answers("The models", json!({"type": "array", "items": &models}))
            .errors(ANY),
        Operation::get("/v1/models/{model}", "getModel", "Models", "One model of that list")
            .path("model", "Its `id` there; slashes may be encoded")
            .answers("The model", models)
            .errors(NAMED),
        Operation::get(
            "/v1/autoscale/models",
            "listAutoscaleModels",
            "Models",
            "The names of what can be deployed",
        )
        .answers("The names", json!({"type": "array", "items": autoscale}))
        .errors(ANY),
        Operation::get("/v1/whoami", "whoami", "Keys", "Whose key this is")
            .answers("Its owner", schemas.of::<WhoamiV1>())
            .errors(ANY),
        Operation::get("/v3/whoami", "whoamiV3", "Keys", "Whose key this is, in the newer form")
            .answers("Its owner", schemas.of::<WhoamiV3>())
            .errors(ANY),
    ]
}

fn pulls(schemas: &mut Schemas) -> Vec<Operation> {
    let (pull, check) = (schemas.of::<ModelPull>(), schemas.of::<ModelCheck>());
    vec![
        Operation::get("/v1/pulls", "listPulls", "Models", "List the downloads of models, the newest first")
            .answers("The downloads", schemas.list_of::<ModelPull>())
            .errors(ANY),
        Operation::new("post", "/v1/pulls", "createPull", "Models", "Fetch a model from the hub")
            .about(
                "Answers at once; the download says how far it is. Repeated, it answers with the same download. Another \
                 revision does not take the place of one that endpoints or other tenants need.",
            )
            .body(schemas.of::<CreatePullRequest>())
            .answers("The download", pull.clone())
            .errors(&[400, 403, 408, 413, 415, 429, 500, 503]),
        Operation::get("/v1/pulls/{model}", "retrievePull", "Models", "How far a download is")
            .path("model", MODEL)
            .answers("The download", pull)
            .errors(NAMED),
        Operation::new("post", "/v1/checks", "createCheck", "Models", "Read a model's files and compare them")
            .about("Answers at once; the check says how far it is.")
            .body(schemas.of::<CreateCheckRequest>())
            .answers("The check", check.clone())
            .errors(&[400, 403, 404, 413, 415, 500, 503]),
        Operation::get("/v1/checks/{model}", "retrieveCheck", "Models", "How far a check is")
            .path("model", MODEL)
            .answers("The check", check)
            .errors(NAMED),
        Operation::new("delete", "/v1/models/{model}", "removeModel", "Models", "Remove a model from the store")
            .about("Of a model that other tenants hold too, only your part goes.")
            .path("model", MODEL)
            .query("force", boolean(), "Also where stopped endpoints were created with it")
            .answers_nothing("It is gone, and so is a download of it")
            .errors(NAMED),
        Operation::new("patch", "/v1/models/{model}", "shareModel", "Models", "Say whose a model is")
            .about("For admins.")
            .path("model", MODEL)
            .optional_body(schemas.of::<ShareModelRequest>())
            .answers("Whose it is", schemas.of::<ModelHolders>())
            .errors(SENT),
    ]
}

fn keys(schemas: &mut Schemas) -> Vec<Operation> {
    let key = schemas.of::<KeyInfo>();
    vec![
        Operation::get("/v1/keys", "listKeys", "Keys", "List the keys you manage")
            .query("owner", json!({"type": "string"}), "Only those of this tenant")
            .answers("The keys, without their secrets", schemas.list_of::<KeyInfo>())
            .errors(ANY),
        Operation::new("post", "/v1/keys", "createKey", "Keys", "Make a key")
            .about("The answer is the only one that has the whole key in it.")
            .optional_body(schemas.of::<CreateKeyRequest>())
            .answers("The key", key)
            .errors(&[400, 403, 408, 413, 415, 429, 500, 503]),
        Operation::new("delete", "/v1/keys/{keyId}", "revokeKey", "Keys", "Revoke a key")
            .path("keyId", "Its public part")
            .answers_nothing("It is not valid any more")
            .errors(NAMED),
    ]
}

fn audit(schemas: &mut Schemas) -> Operation {
    Operation::get("/v1/audit", "listAudit", "Keys", "Who did what")
        .about("A tenant's owners read its log, an admin that of the whole host.")
        .query("after", whole(i64::MAX), "Only those with a larger id; the newest if absent")
        .query("limit", whole(i64::MAX), "How many at most: 100 if absent, never more than 1000")
        .query("owner", json!({"type": "string", "pattern": OWNER}), "Only the log of this tenant")
        .answers("The entries, oldest first", schemas.list_of::<AuditEvent>())
        .errors(ANY)
}

fn usage(schemas: &mut Schemas) -> Operation {
    let moment = || json!({"type": "string", "format": "date-time"});
    Operation::get("/v1/usage", "readUsage", "Usage", "How long your endpoints ran, and what that costs")
        .about(
            "Minutes of each replica, from ready until its end, busy or not. A replica that runs is counted up to a few \
             seconds ago. At most 1000 endpoints are listed, the latest; the sums have all of them.",
        )
        .query("from", moment(), "The first moment, or day, that counts: 30 days before `to` if absent")
        .query("to", moment(), "The first moment, or day, that does not: now if absent")
        .query("endpoint", json!({"type": "string"}), "Only this endpoint, by id or name; it may be deleted")
        .answers("What ran", schemas.of::<UsageReport>())
        .errors(NAMED)
}

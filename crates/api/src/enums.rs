//! Fields with a fixed set of values. On the wire they are plain strings, so that a value added later does not break
//! a client; each set is listed here once, for the OpenAPI document and for checks.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A string with these values.
fn string_enum(values: &[&str]) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(values.iter().copied())).build()
}

macro_rules! enums {
    ($($(#[$doc:meta])* $name:ident $values:tt)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}

        impl $name {
            /// All values, as they appear on the wire.
            pub const VALUES: &[&str] = &$values;
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                string_enum(Self::VALUES).into()
            }
        }

        impl ToSchema for $name {}
    )+};
}

enums! {
    /// The observed state of an endpoint.
    EndpointState ["PENDING", "STARTING", "STARTED", "STOPPING", "STOPPED", "ERROR"]
    /// The state that a client asks for.
    DesiredState ["STARTED", "STOPPED"]
    /// Kinds of endpoints in the contract; this server has dedicated ones only.
    EndpointKind ["dedicated", "serverless"]
    /// The kind of this server's endpoints.
    DedicatedKind ["dedicated"]
    /// How an endpoint's hardware is paid for.
    UsageKind ["on-demand", "reserved"]
    /// The phase of a replica.
    ReplicaPhase [
        "reserved", "launching", "ready", "unresponsive", "draining", "stopping", "releasing", "exited", "lost",
        "unknown"
    ]
    /// Whether hardware is free.
    AvailabilityStatus ["available", "unavailable", "insufficient"]
    /// The role of an API key, with rising permissions.
    KeyRole ["inference", "viewer", "developer", "owner", "admin"]
    /// What a model is for.
    ModelKind ["chat", "language", "embedding"]
    /// The state of a download.
    PullState ["queued", "running", "done", "failed"]
    /// The kind of key that `whoami` describes.
    WhoamiKind ["project_api_key"]
    /// Moderation models: none is available.
    SafetyModel ["none", ""]
    /// What happens to a prompt that is too long.
    ContextOverflow ["error", "truncate"]
    /// How much a model reasons.
    ReasoningEffort ["none", "minimal", "low", "medium", "high"]
    /// The author of a message.
    MessageRole ["system", "developer", "user", "assistant", "tool", "function"]
    /// The `type` of a `response_format`.
    ResponseFormatType ["text", "json_object", "json_schema", "regex"]
    /// The one kind of tool, and of a call.
    FunctionKind ["function"]
    /// The one kind of content part.
    TextKind ["text"]
    /// The author of a reply.
    AssistantRole ["assistant"]
    /// The `object` field of an endpoint.
    EndpointObject ["endpoint"]
    /// The `object` field of an endpoint plan.
    PlanObject ["endpoint.plan"]
    /// The `object` field of a list.
    ListObject ["list"]
    /// The `object` field of a hardware configuration.
    HardwareObject ["hardware"]
    /// The `object` field of an API key.
    KeyObject ["api_key"]
    /// The `object` field of a usage report.
    UsageObject ["usage"]
    /// The `object` field of a model.
    ModelObject ["model"]
    /// The `object` field of a chat completion.
    ChatObject ["chat.completion"]
    /// The `object` field of a stream's chunk.
    ChunkObject ["chat.completion.chunk", "completion.chunk"]
    /// The `object` field of a text completion.
    CompletionObject ["text.completion"]
    /// The `object` field of an embedding.
    EmbeddingObject ["embedding"]
}

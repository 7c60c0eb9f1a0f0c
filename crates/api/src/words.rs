//! The fields that take one of a few words. They travel as texts, so that a client is not broken by a word it does
//! not know; which words there are is said here, once.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A text out of a few.
fn one_of(words: &[&str]) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.iter().copied())).build()
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident $words:tt)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}

        impl $name {
            /// All of them.
            pub const WORDS: &[&str] = &$words;
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                one_of(Self::WORDS).into()
            }
        }

        impl ToSchema for $name {}
    )+};
}

words! {
    /// What an endpoint is doing.
    EndpointStateWord ["PENDING", "STARTING", "STARTED", "STOPPING", "STOPPED", "ERROR"]
    /// What an endpoint shall do.
    RunWord ["STARTED", "STOPPED"]
    /// What kinds of endpoints there are; those of this server are dedicated.
    EndpointKind ["dedicated", "serverless"]
    /// The kind of an endpoint of one's own.
    DedicatedKind ["dedicated"]
    /// How an endpoint's hardware is paid for.
    UsageKind ["on-demand", "reserved"]
    /// What a replica is doing.
    PhaseWord [
        "reserved", "launching", "ready", "unresponsive", "draining", "stopping", "releasing", "exited", "lost",
        "unknown"
    ]
    /// Whether hardware can be had.
    AvailabilityWord ["available", "unavailable", "insufficient"]
    /// What a key allows.
    RoleWord ["inference", "viewer", "developer", "owner", "admin"]
    /// What a model is for.
    ModelKind ["chat", "language", "embedding"]
    /// How far a download is.
    PullStateWord ["queued", "running", "done", "failed"]
    /// Whose key it is.
    WhoamiKind ["project_api_key"]
    /// Models that check what is said: none.
    SafetyWord ["none", ""]
    /// What happens to a prompt that is too long.
    OverflowWord ["error", "truncate"]
    /// How much a model thinks.
    EffortWord ["none", "minimal", "low", "medium", "high"]
    /// Who says a message.
    MessageRole ["system", "developer", "user", "assistant", "tool", "function"]
    /// The form of a reply.
    FormatWord ["text", "json_object", "json_schema", "regex"]
    /// The one kind of tool, and of a call.
    FunctionKind ["function"]
    /// The one kind of content part.
    TextKind ["text"]
    /// Who replies.
    AssistantRole ["assistant"]
    /// An object's word.
    EndpointObject ["endpoint"]
    /// An object's word.
    PlanObject ["endpoint.plan"]
    /// An object's word.
    ListObject ["list"]
    /// An object's word.
    HardwareObject ["hardware"]
    /// An object's word.
    KeyObject ["api_key"]
    /// An object's word.
    UsageObject ["usage"]
    /// An object's word.
    ModelObject ["model"]
    /// An object's word.
    ChatObject ["chat.completion"]
    /// An object's word.
    ChunkObject ["chat.completion.chunk", "completion.chunk"]
    /// An object's word.
    CompletionObject ["text.completion"]
    /// An object's word.
    EmbeddingObject ["embedding"]
}

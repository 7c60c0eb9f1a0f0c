//! The wire: request, response, error and stream types exactly as clients see them. Only data; every rule
//! about it is elsewhere.

pub mod audit;
pub mod clients;
pub mod codes;
pub mod endpoints;
pub mod engine;
pub mod enums;
pub mod error;
pub mod hardware;
pub mod inference;
pub mod keys;
pub mod models;
pub mod openapi;
mod read;
pub mod usage;
pub mod whoami;

pub use audit::AuditEvent;
pub use codes::{PullCode, RefusalCode};
pub use endpoints::{
    Autoscaling, AutoscalingRequest, CreateEndpointRequest, DedicatedEndpoint, EndpointEvent, EndpointPlan,
    EndpointStatus, FailureInfo, LOG_MARK, LaunchProgress, List, ListEndpoint, Nullable, ReplicaInfo,
    UpdateEndpointRequest,
};
pub use error::{ErrorBody, ErrorDetail};
pub use hardware::{
    AvailabilityZones, Hardware, HardwareAvailability, HardwarePricing, HardwareSpecs, HardwareUsage,
};
pub use keys::{CreateKeyRequest, KeyInfo};
pub use models::{
    AutoscaleModel, CreateCheckRequest, CreatePullRequest, Model, ModelCheck, ModelHolders, ModelPricing,
    ModelPull, ShareModelRequest,
};
pub use usage::{EndpointUsage, UsageReport};
pub use whoami::{Named, Project, WhoamiV1, WhoamiV3};

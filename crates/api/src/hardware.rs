//! `/v1/hardware` and `/v1/clusters/availability-zones`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::enums::{AvailabilityStatus, HardwareObject};

/// One hardware configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Hardware {
    /// Always `hardware`.
    #[schema(value_type = HardwareObject)]
    pub object: String,
    /// `2x_nvidia_h100_80gb_sxm`, `4x_cpu_8gb`.
    pub id: String,
    /// The price.
    pub pricing: HardwarePricing,
    /// The devices it consists of.
    pub specs: HardwareSpecs,
    /// Whether a replica could start now; only with `?model=`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<HardwareAvailability>,
    /// RFC 3339.
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// dedi's addition: the devices of this kind and who uses them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<HardwareUsage>,
}

/// Price of the whole configuration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HardwarePricing {
    /// Cents per replica and minute.
    pub cents_per_minute: f64,
}

/// What a configuration is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HardwareSpecs {
    /// `h100-80gb`, `cpu-8gb`.
    pub gpu_type: String,
    /// `sxm`, `pcie`, or empty.
    pub gpu_link: String,
    /// GB per device.
    pub gpu_memory: f64,
    /// Number of devices.
    pub gpu_count: u32,
}

/// Whether it can be had now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HardwareAvailability {
    /// `available`, `unavailable` or `insufficient`.
    #[schema(value_type = AvailabilityStatus)]
    pub status: String,
}

/// Devices of one kind, now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HardwareUsage {
    /// Devices of the kind on this host.
    pub devices: u32,
    /// Of those, free now.
    pub free: u32,
    /// Names of endpoints (the caller's own; others as `another tenant`; with a word where one is being deleted) and of
    /// foreign processes on them, each with what it uses: `72 GiB used by python (pid 4711)`.
    pub used_by: Vec<String>,
    /// Why no replica can use some of them or all, and what helps; absent where each can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<String>,
}

/// `{"avzones":[…]}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AvailabilityZones {
    /// Zone names, sorted, unique.
    pub avzones: Vec<String>,
}

//! The codes that programs match, each listed in docs/reasons.md: a new one is added to the page with it.

use std::fmt;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $code:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$each])* $code,)*
        }

        impl $name {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// The code's text on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $text,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

codes! {
    /// Why a request was refused: `error.code`.
    RefusalCode {
        /// LoRA adapters were asked for.
        AdaptersUnsupported = "adapters_unsupported",
        /// The body was cut off.
        BodyCut = "body_cut",
        /// The body did not arrive in time.
        BodyTimeout = "body_timeout",
        /// The body is too long.
        BodyTooLarge = "body_too_large",
        /// The endpoint was asleep and did not wake in time.
        ColdStart = "cold_start",
        /// The endpoint of that name does not run.
        NotRunning = "dedicated_endpoint_not_running",
        /// The endpoint has no replica ready, and one comes by itself.
        Starting = "dedicated_endpoint_starting",
        /// The endpoint was stopped or its replica retired, and the request had its time to finish.
        DrainTimeout = "drain_timeout",
        /// Its engine refused the request.
        EngineRefused = "engine_refused",
        /// The endpoint has as many requests as it may.
        EndpointFull = "endpoint_full",
        /// A replica sent nothing.
        FirstByteTimeout = "first_byte_timeout",
        /// The engine program has no back-end for that hardware.
        EngineLacksGpu = "engine_lacks_gpu",
        /// The GPUs' driver does not say whether the host has such hardware.
        GpuDriverFailed = "gpu_driver_failed",
        /// The header fields are too many or too long.
        HeadersTooLarge = "headers_too_large",
        /// The `Host` header names another host.
        HostUnknown = "host_unknown",
        /// A replica stopped sending.
        IdleTimeout = "idle_timeout",
        /// The server's own fault.
        InternalError = "internal_error",
        /// No key, or none that is valid.
        InvalidApiKey = "invalid_api_key",
        /// The request as a whole can't be read.
        InvalidRequest = "invalid_request",
        /// A field has a wrong value.
        InvalidValue = "invalid_value",
        /// The key that asked has been revoked, or has expired, while the answer was under way.
        KeyRevoked = "key_revoked",
        /// Replicas crashed while they had requests of this key.
        KeySlowed = "key_slowed",
        /// The running requests hold all memory set aside for them.
        MemoryFull = "memory_full",
        /// The route has other methods.
        MethodNotAllowed = "method_not_allowed",
        /// Endpoints use the model that is to be removed.
        ModelInUse = "model_in_use",
        /// The model store can't be written to.
        ModelStoreReadOnly = "model_store_read_only",
        /// No endpoint of this name can be used with this key.
        ModelNotAvailable = "model_not_available",
        /// The model's files are missing, damaged or of an unknown kind.
        ModelUnusable = "model_unusable",
        /// Nothing of that name.
        NotFound = "not_found",
        /// The key's role is too low.
        PermissionDenied = "permission_denied",
        /// The model is being fetched in another revision or file.
        PullInProgress = "pull_in_progress",
        /// The tenant has as many as it may.
        QuotaExceeded = "quota_exceeded",
        /// A replica failed with the request.
        ReplicaFailed = "replica_failed",
        /// All replicas are busy.
        ReplicasBusy = "replicas_busy",
        /// The server is shutting down.
        ShuttingDown = "shutting_down",
        /// The disk is full or the database is locked.
        Unavailable = "temporarily_unavailable",
        /// Too many wrong keys from one address.
        TooManyFailedAttempts = "too_many_failed_attempts",
        /// The answer took longer than any may.
        TotalTimeout = "total_timeout",
        /// The path and query are too long.
        UriTooLong = "uri_too_long",
        /// The body is of another kind.
        UnsupportedMediaType = "unsupported_media_type",
    }
}

codes! {
    /// Why a model could not be fetched: the `code` of a download.
    PullCode {
        /// It was called off.
        CalledOff = "called_off",
        /// The certificate of the other side is not accepted.
        Certificate = "certificate",
        /// The configuration is wrong.
        Configuration = "configuration",
        /// No connection, or one that broke.
        Connection = "connection",
        /// Too little room on the disk.
        DiskFull = "disk_full",
        /// The local files can't be written.
        Files = "files",
        /// The hub wants a token, or another one.
        Gated = "gated",
        /// What came is not what the hub lists.
        HashMismatch = "hash_mismatch",
        /// The store has another revision, which others rely on.
        Held = "held",
        /// The hub answers with an error that may pass.
        HubUnavailable = "hub_unavailable",
        /// The other side does not speak like a hub.
        NotAHub = "not_a_hub",
        /// The hub has no such thing.
        NotFound = "not_found",
        /// The model store can't be written to.
        ReadOnly = "read_only",
        /// A redirect that is not followed.
        RedirectRefused = "redirect_refused",
        /// The hub contradicts itself about a size.
        SizeMismatch = "size_mismatch",
        /// What is there can't be used.
        Unsuitable = "unsuitable",
    }
}

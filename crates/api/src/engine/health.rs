//! Whether an engine can be asked.

use serde::{Deserialize, Serialize};

/// The answer to `GET /health`: 200 when ready, 503 otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Health {
    /// The model is being loaded.
    Loading {
        /// From 0 to 1.
        progress: f32,
    },
    /// The model is loaded and requests are served.
    Ok {
        /// What the starter put into `DEDI_NONCE`; absent when it put nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nonce: Option<String>,
        /// The served model's name.
        model: String,
        /// Tokens one request may use, prompt and reply together.
        context: u32,
        /// Requests decoded at the same time.
        slots: u32,
    },
    /// No new requests are taken; running ones are finished.
    Draining {
        /// Requests still running.
        running: u64,
    },
    /// The device does not finish a step; requests are not answered.
    Stuck {
        /// Seconds since the step began.
        step_secs: u64,
    },
}

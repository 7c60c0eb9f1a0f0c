//! What can go wrong with a runtime.

use dedi_domain::ReplicaId;

use crate::ModelUnavailable;

/// Whatever a runtime's own parts say.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a caller can act on.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The replica's process could not be started; trying again later may help.
    #[error("could not launch {replica}: {reason}")]
    Launch {
        /// The replica to be launched.
        replica: ReplicaId,
        /// What was tried and what the system said.
        reason: String,
    },
    /// The files of the replica's model are not to be had where it was to run. Nothing was started.
    #[error("{replica} was not launched: {why}")]
    Model {
        /// The replica to be launched.
        replica: ReplicaId,
        /// What is wrong with them, and whether that may pass.
        why: ModelUnavailable,
    },
    /// The runtime could not be asked, or could not do it.
    #[error("{what}")]
    Unavailable {
        /// The operation that failed.
        what: String,
        /// The underlying error.
        source: BoxError,
    },
}

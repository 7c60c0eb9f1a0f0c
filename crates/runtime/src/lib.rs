//! Makes replicas exist and says how they and the host's devices are. Decides nothing.

pub mod hardware;
pub mod process;

pub use dedi_shim::{clock, failpoint};

use async_trait::async_trait;
use dedi_domain::{Inventory, Launch, Nonce, ObservedReplica, ReplicaId};

/// What starts and stops replicas.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Makes the replica's process exist as described. Repeating the call for a replica that exists, or did
    /// until it exited, changes nothing: one launch, one process, ever.
    async fn ensure(&self, launch: &Launch) -> Result<(), RuntimeError>;

    /// Begins to make the replica's processes absent: TERM, then KILL of the whole group when the grace is
    /// over, then its files except logs. Returns once that is under way; [`Runtime::list`] shows
    /// `Stopping` until the last process is gone and nothing afterwards. A replica that is already gone, or
    /// whose process carries another mark, is a success and nothing is signalled.
    async fn remove(&self, replica: ReplicaId, nonce: Nonce) -> Result<(), RuntimeError>;

    /// All replicas this runtime has, whoever started them: those of an earlier run of the server too.
    async fn list(&self) -> Result<Listing, RuntimeError>;

    /// The host's devices, measured now.
    async fn inventory(&self) -> Result<Inventory, RuntimeError>;

    /// Returns when `list` or `inventory` may answer differently than before. A hint: a caller that misses
    /// one sees the same on its next look.
    async fn changed(&self);
}

/// What a runtime has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Those it can tell of.
    pub replicas: Vec<ObservedReplica>,
    /// Those it can't: each may live.
    pub unreadable: Vec<Unreadable>,
}

/// A replica whose record can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The first digits of its id, as its folder is called.
    pub name: String,
    /// What is wrong, as a clause that names the file.
    pub why: String,
}

impl Unreadable {
    /// Whether it is that replica, as far as the name tells.
    pub fn is(&self, replica: ReplicaId) -> bool {
        replica.uuid().simple().to_string().starts_with(&self.name)
    }
}

/// What a caller can act on.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The replica's process could not be started; trying again later may help.
    #[error("could not launch {replica}: {reason}")]
    Launch {
        /// Which.
        replica: ReplicaId,
        /// What was tried and what the system said.
        reason: String,
    },
    /// The runtime could not be asked, or could not do it.
    #[error("{what}")]
    Unavailable {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

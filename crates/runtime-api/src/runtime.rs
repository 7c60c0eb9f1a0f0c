//! The contract of a runtime.

use async_trait::async_trait;
use dedi_domain::{Capabilities, Inventory, Nonce, ReplicaId};

use crate::{Launch, Listing, Logs, RuntimeError};

/// Starts, observes and stops replicas.
#[async_trait]
pub trait Runtime: Logs {
    /// Features this runtime supports.
    fn capabilities(&self) -> Capabilities;

    /// Makes the replica's process exist as described. Repeating the call for a replica that exists, or did
    /// until it exited, changes nothing: one launch, one process, ever.
    async fn ensure(&self, launch: &Launch) -> Result<(), RuntimeError>;

    /// Begins to make the replica's processes absent: it is asked to end, then killed with all it started when its grace
    /// is over, then what was kept of it goes, except logs. Returns once that is under way; [`Runtime::list`] shows
    /// `Stopping` until the last process is gone and nothing afterwards. A replica that is already gone, or
    /// whose process carries another mark, is a success and nothing is signalled.
    async fn remove(&self, replica: ReplicaId, nonce: Nonce) -> Result<(), RuntimeError>;

    /// Begins to end the replica's processes like [`Runtime::remove`] and keeps its record: nobody starts that launch
    /// again, and [`Runtime::list`] shows it as exited once the last process is gone.
    async fn end(&self, replica: ReplicaId, nonce: Nonce) -> Result<(), RuntimeError>;

    /// All replicas this runtime has, whoever started them: those of an earlier run of the server too. How an engine
    /// ended is in its last phase.
    async fn list(&self) -> Result<Listing, RuntimeError>;

    /// The devices there are, measured now.
    async fn inventory(&self) -> Result<Inventory, RuntimeError>;

    /// Returns when `list` or `inventory` may answer differently than before. A hint: a caller that misses
    /// one sees the same the next time it observes.
    async fn changed(&self);

    /// Ends the runtime's own work. Replicas go on; what was under way is taken up by whoever opens it next.
    async fn shutdown(&self);
}

//! The data folder as a server has it: alone, behind a lock. It is let go of for a successor, and taken back from one
//! that came to nothing.

use std::fmt;
use std::sync::Arc;

use dedi_control::store::{DataLock, LockError, StoreError};
use dedi_control::{ControlError, ControlPlane, DataPaths};
use dedi_runtime_api::Runtime;

use crate::config::Config;
use crate::exit::Refusal;
use crate::paths::DataDir;
use crate::replicas::Replicas;
use crate::runtime;

/// What a server has in its data folder.
pub(crate) struct Folder {
    pub data: DataDir,
    pub config: Config,
    pub control: ControlPlane,
    pub replicas: Arc<Replicas>,
}

/// Why the folder can't be taken back now.
pub(crate) enum NotBack {
    /// Another server has it.
    Held(Option<u32>),
    /// It can't be used.
    Unusable(String),
}

impl fmt::Display for NotBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(Some(pid)) => write!(f, "another server (process {pid}) holds it"),
            Self::Held(None) => f.write_str("another server holds it"),
            Self::Unusable(why) => f.write_str(why),
        }
    }
}

impl Folder {
    /// Ends what acts on the folder and lets go of it. Requests are still answered, but for those that write.
    pub(crate) async fn let_go(&self) -> Result<(), StoreError> {
        self.replicas.shutdown().await;
        self.control.suspend().await
    }

    /// Takes the folder again, as it is now.
    pub(crate) async fn take_back(&self) -> Result<(), NotBack> {
        let unusable = |err: ControlError| NotBack::Unusable(Refusal::from(err).message);
        let lock = match self.control.release_lock() {
            Some(still_held) => still_held,
            None => match DataLock::acquire(&DataPaths::below(self.data.root()).lock) {
                Ok(lock) => Box::new(lock),
                Err(LockError::Held { holder, .. }) => return Err(NotBack::Held(holder.pid)),
                Err(err @ LockError::Io { .. }) => return Err(unusable(err.into())),
            },
        };
        let opened = runtime::open(&self.data, &self.config).await;
        let runtime = opened.map_err(|refusal| NotBack::Unusable(refusal.message))?;
        self.control.resume(lock).await.map_err(unusable)?;
        self.replicas.replace(runtime);
        Ok(())
    }

    /// Closes everything. Replicas go on.
    pub(crate) async fn close(&self) {
        self.replicas.shutdown().await;
        self.control.close().await;
    }
}

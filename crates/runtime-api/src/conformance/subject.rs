//! A runtime under test, and what is particular about it.

use async_trait::async_trait;

use crate::{Launch, Runtime};

/// A runtime under test.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The runtime.
    fn runtime(&self) -> &dyn Runtime;

    /// A launch of a replica and an endpoint of its own, whose engine behaves so.
    fn launch(&self, behaviour: Behaviour) -> Launch;

    /// A launch whose model is not to be had. `None` where the runtime finds that out later, as an end of the replica.
    fn launch_without_model(&self) -> Option<Launch>;

    /// Lets a replica end that [`Behaviour::EndsSlowly`] and was told to go.
    async fn let_end(&self, launch: &Launch);
}

/// How an engine behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It becomes ready and serves until it is told to go.
    Serves,
    /// It logs a few lines and exits with an error.
    Exits,
    /// It becomes ready, and does not end at once when it is told to.
    EndsSlowly,
}

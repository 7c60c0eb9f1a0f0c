//! What the use cases of models need.

use std::sync::Arc;

use crate::barrier::PassBarrier;
use crate::clock::Clock;
use crate::config::ControlConfig;
use crate::hub::Pulls;
use crate::models::{BlockingReader, Checks};
use crate::store::Store;

pub(crate) struct Models {
    pub(crate) config: Arc<ControlConfig>,
    pub(crate) store: Arc<dyn Store>,
    /// Where requests read the model store.
    pub(crate) reader: BlockingReader,
    pub(crate) clock: Clock,
    pub(crate) pulls: Pulls,
    pub(crate) checks: Checks,
    pub(crate) barrier: Arc<PassBarrier>,
}

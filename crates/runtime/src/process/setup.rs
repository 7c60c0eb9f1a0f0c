//! A process runtime that is not open: where its things are, and which programs it runs.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use dedi_domain::EngineSpec;
use dedi_runtime_api::{Finding, ModelResolver, Runtime, RuntimeError, RuntimeProvider, Survey};

use super::config::ProcessConfig;
use super::doctor::isolation_level;
use super::{ProcessRuntime, unavailable};

/// What a process runtime is made of.
#[derive(Clone, Debug)]
pub struct ProcessSetup {
    /// What the operator says.
    pub config: ProcessConfig,
    /// The folder of replicas' records, which is made if it is absent.
    pub run: PathBuf,
    /// The folder of their logs, made likewise.
    pub logs: PathBuf,
    /// The program that runs [`dedi_shim::main`] on `shim <folder>`.
    pub shim: PathBuf,
    /// The engines there are, each of a kind of its own. The first one is asked what it can compute on.
    pub engines: Vec<EngineSpec>,
    /// Where models' files are.
    pub models: Arc<dyn ModelResolver>,
}

#[async_trait]
impl RuntimeProvider for ProcessSetup {
    async fn open(&self) -> Result<Arc<dyn Runtime>, RuntimeError> {
        match ProcessRuntime::open(self.clone()).await {
            Ok(runtime) => Ok(Arc::new(runtime)),
            Err(err) => Err(unavailable(format!("replicas can't be managed in {}", self.run.display()), err)),
        }
    }

    async fn survey(&self) -> Result<Survey, RuntimeError> {
        super::survey::survey(self.clone()).await.map_err(|err| unavailable(err.to_string(), err))
    }

    async fn isolation(&self) -> Vec<Finding> {
        isolation_level(self.config.isolation).findings()
    }
}

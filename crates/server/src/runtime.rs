//! Which runtime this server has. The one place that names it: everything else knows the trait.

use std::path::PathBuf;
use std::sync::Arc;

use dedi_control::models::StoredModels;
use dedi_domain::{EngineSpec, with_causes};
use dedi_runtime::process::ProcessSetup;
use dedi_runtime_api::{Runtime, RuntimeProvider};

use crate::config::Config;
use crate::exit::Refusal;
use crate::paths::DataDir;
use crate::programs;

/// The runtime of this data folder, open.
pub(crate) async fn open(data: &DataDir, config: &Config) -> Result<Arc<dyn Runtime>, Refusal> {
    let engine = programs::engine(config).map_err(Refusal::usage)?;
    let shim = programs::shim(config).map_err(Refusal::usage)?;
    let opened = processes(data, config, shim, engine).open().await;
    opened.map_err(|err| Refusal::broken(with_causes(&err)))
}

/// The same to be looked at only, also where a program is missing.
pub(crate) fn beside_server(data: &DataDir, config: &Config) -> impl RuntimeProvider + use<> {
    let engine = programs::engine(config).unwrap_or_else(|_| "dedi-engine".into());
    processes(data, config, PathBuf::new(), engine)
}

fn processes(data: &DataDir, config: &Config, shim: PathBuf, engine: PathBuf) -> ProcessSetup {
    ProcessSetup {
        config: config.runtime.clone(),
        run: data.run(),
        logs: data.logs(),
        shim,
        engines: vec![EngineSpec::embedded(engine)],
        models: Arc::new(StoredModels::new(data.models())),
    }
}

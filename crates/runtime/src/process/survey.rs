//! A look at a run folder's replicas and at the host's devices that changes nothing: it makes no folder, draws no name,
//! and takes up nothing that it finds half done. Beside a server, and on a folder that is somebody else's.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use dedi_domain::Inventory;
use dedi_shim::identity::Life;
use dedi_shim::records::ReplicaDir;

use super::{Inner, ProcessConfig, ProcessRuntime, blocking, installation};

/// What was seen.
#[derive(Debug)]
pub struct Survey {
    /// The host's devices.
    pub inventory: io::Result<Inventory>,
    /// Replicas that run, by the isolation level that they have.
    pub levels: BTreeMap<u8, u64>,
    /// Folders that are records of another installation's replicas.
    pub n_foreign: u64,
}

impl ProcessRuntime {
    /// Looks once; `engine` is the engine program, which is asked for what it can compute on.
    ///
    /// # Errors
    ///
    /// If the run folder is there and can't be read.
    pub async fn survey(config: ProcessConfig, run: PathBuf, engine: PathBuf) -> io::Result<Survey> {
        blocking(move || {
            let installation = installation::named(&run)?;
            let nowhere = PathBuf::new();
            let logs = nowhere.clone();
            let inner = Inner::new(
                config,
                run,
                logs,
                installation.unwrap_or_default(),
                Life::now()?,
                nowhere,
                engine,
            );
            inner.survey()
        })
        .await
    }
}

impl Inner {
    fn survey(&self) -> io::Result<Survey> {
        let (mut levels, mut n_foreign) = (BTreeMap::new(), 0);
        if !self.run.is_dir() {
            return Ok(Survey { inventory: self.hardware.inventory(&Default::default()), levels, n_foreign });
        }
        for dir in ReplicaDir::all(&self.run)? {
            // What can't be read is told by the server.
            let Ok(Some(record)) = dir.launch() else { continue };
            if record.installation != self.installation {
                n_foreign += 1;
                continue;
            }
            let shim = dir.shim().ok().flatten().filter(|it| it.life.is(&self.life));
            if let Some(shim) = shim
                && shim.shim.is_alive().unwrap_or(false)
                && let Some(level) = shim.isolation
            {
                *levels.entry(level).or_default() += 1;
            }
        }
        let inventory = self.engines().and_then(|ours| self.hardware.inventory(&ours));
        Ok(Survey { inventory, levels, n_foreign })
    }
}

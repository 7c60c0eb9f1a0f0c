//! A look at a run folder's replicas and at the host's devices that changes nothing: it makes no folder, draws no name,
//! and takes up nothing that it finds half done. Beside a server, and on a folder that is somebody else's.

use std::collections::BTreeMap;
use std::io;

use dedi_runtime_api::Survey;
use dedi_shim::identity::Life;
use dedi_shim::records::ReplicaDir;

use super::{Inner, ProcessSetup, blocking, installation, unavailable};

/// Looks once. Fails if the run folder is there and can't be read.
pub(super) async fn survey(setup: ProcessSetup) -> io::Result<Survey> {
    blocking(move || {
        let installation = installation::named(&setup.run)?;
        Inner::new(setup, installation.unwrap_or_default(), Life::now()?).survey()
    })
    .await
}

impl Inner {
    fn survey(&self) -> io::Result<Survey> {
        let (mut levels, mut n_foreign) = (BTreeMap::new(), 0);
        if !self.run.is_dir() {
            let inventory = self.hardware.inventory(&Default::default());
            let inventory = inventory.map_err(|err| unavailable(err.to_string(), err));
            return Ok(Survey { inventory, levels, n_foreign });
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
        let inventory = inventory.map_err(|err| unavailable(err.to_string(), err));
        Ok(Survey { inventory, levels, n_foreign })
    }
}

//! Starts the engine.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use dedi_replica_logs::LogFile;

use crate::records::{LaunchRecord, ReplicaDir};

/// An engine, and the isolation level it has.
pub(crate) struct Started {
    engine: Child,
    pub(crate) output: io::PipeReader,
    pub(crate) isolation: u8,
}

impl Started {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.engine.id()).unwrap_or(0)
    }
}

/// The engine with both its outputs in one pipe, in a process group of its own, kept apart as far as was asked for
/// and the host allows.
pub(crate) fn start(dir: &ReplicaDir, record: &LaunchRecord, log: &mut LogFile) -> io::Result<Started> {
    let failed = |err: io::Error| {
        io::Error::new(err.kind(), format!("{} could not be started: {err}", record.program.display()))
    };
    let (output, input) = io::pipe()?;
    rustix::io::ioctl_fionbio(&output, true)?;
    let mut command = Command::new(&record.program);
    command
        .args(&record.args)
        .env_clear()
        .envs(record.env.iter().map(|(name, value)| (name, value)))
        .current_dir(dir.engine_dir())
        .stdin(Stdio::null())
        .stdout(input.try_clone()?)
        .stderr(input)
        .process_group(0);
    if let Some(confinement) = &record.confinement {
        match confinement.behind(|| command.spawn()) {
            Ok((engine, _confined)) => {
                return Ok(Started { engine: engine.map_err(failed)?, output, isolation: 1 });
            }
            Err(lacking) if confinement.is_required => {
                let said = format!("runtime.isolation = 1 can't be had: {lacking}; auto starts it with less");
                return Err(io::Error::other(said));
            }
            Err(lacking) => log.note(&format!("isolation level 0: {lacking}")),
        }
    }
    Ok(Started { engine: command.spawn().map_err(failed)?, output, isolation: 0 })
}

//! Makes a replica exist: its model found, its launch written down, and then its shim started, once.

use std::io;
use std::process::{Command, Stdio};
use std::sync::Arc;

use dedi_domain::EngineSpec;
use dedi_domain::engine::{ModelFormat, Transport};
use dedi_runtime_api::{Launch, ModelUnavailable, Placement, RuntimeError};
use dedi_shim::mark::SHIM_VARIABLE;
use dedi_shim::records::{LaunchRecord, ReplicaDir, WrittenLaunch};

use super::engines::{self, Values};
use super::{Inner, blocking, confinement, port};
use crate::failpoint;

impl Inner {
    /// Finds what the launch needs on this host, and begins it.
    pub(super) async fn launch(self: &Arc<Self>, launch: &Launch) -> Result<(), RuntimeError> {
        let replica = launch.replica;
        let Some(engine) = self.engine(&launch.engine) else {
            let reason = format!("this host has no engine `{}`", launch.engine);
            return Err(RuntimeError::Launch { replica, reason });
        };
        // Not under the lock, which stops wait for too: models may be on a disk that hangs.
        let model = self.models.resolve(&launch.model).await;
        let model = model.map_err(|why| RuntimeError::Model { replica, why })?;
        must_load(engine, model.format).map_err(|why| RuntimeError::Model { replica, why })?;
        let Placement::Devices(devices) = &launch.placement else {
            let reason = "this runtime chooses no devices by itself".to_owned();
            return Err(RuntimeError::Launch { replica, reason });
        };
        let launch = WrittenLaunch {
            replica,
            nonce: launch.nonce,
            endpoint: launch.endpoint,
            attempt: launch.attempt,
            engine: launch.engine.clone(),
            model: launch.model.name.clone(),
            model_path: model.path,
            devices: devices.clone(),
            context_tokens: launch.context_tokens,
            slots: launch.slots,
            memory_limit_bytes: launch.memory_limit_bytes,
            embedding: launch.embedding,
        };
        let done = self.ensure(launch).await;
        done.map_err(|err| RuntimeError::Launch { replica, reason: err.to_string() })
    }

    async fn ensure(self: &Arc<Self>, launch: WrittenLaunch) -> io::Result<()> {
        let _one_at_a_time = self.launching.lock().await;
        let inner = self.clone();
        let started = blocking(move || inner.start_shim(&launch)).await?;
        if let Some((dir, record, child)) = started {
            self.watch(dir, &record, Some(child));
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Writes the launch down and starts a shim, unless this launch has been used already.
    fn start_shim(
        &self,
        launch: &WrittenLaunch,
    ) -> io::Result<Option<(ReplicaDir, LaunchRecord, std::process::Child)>> {
        let dir = ReplicaDir::of(&self.run, launch.replica);
        let mut record = self.record(launch, &dir)?;
        failpoint::hit("launch.before", "record");
        if !dir.create(&self.run, &record)? {
            let known = dir.launch()?.filter(|it| {
                it.launch.nonce == launch.nonce
                    && it.launch.replica == launch.replica
                    && it.installation == self.installation
            });
            let Some(known) = known else {
                return Err(io::Error::other(format!("{} holds another replica", dir.path().display())));
            };
            // What was written first is what a shim reads.
            record = known;
            // A record of an earlier life is listed as ended, started or not.
            let is_used = !record.life.is(&self.life)
                || dir.has_exit()?
                || dir.has_shim()?
                || dir.is_asked_to_stop()?
                || dir.is_to_be_removed()?
                || dir.is_locked()?
                || self.is_tracked(launch.nonce);
            if is_used {
                return Ok(None);
            }
        }
        failpoint::hit("launch.before", "shim");
        // Reaped through its pidfd by whoever watches the replica.
        let child = Command::new(&self.shim)
            .arg("shim")
            .arg(dir.path())
            .env_clear()
            .env(SHIM_VARIABLE, engines::mark_of(launch, &self.installation).to_string())
            .envs(failpoint::environment())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|err| io::Error::new(err.kind(), format!("{}: {err}", self.shim.display())))?;
        failpoint::hit("launch.after", "shim");
        tracing::info!(replica = %launch.replica, attempt = launch.attempt, "launching {}", launch.endpoint);
        Ok(Some((dir, record, child)))
    }

    fn record(&self, launch: &WrittenLaunch, dir: &ReplicaDir) -> io::Result<LaunchRecord> {
        let engine = self.engine(&launch.engine).ok_or_else(|| io::Error::other("no such engine"))?;
        let mut launch = launch.clone();
        launch.model_path = std::path::absolute(launch.model_path)?;
        let own = dir.own();
        let port = match engine.transport {
            Transport::UnixSocket => None,
            Transport::Loopback => Some(port::choose(&self.run, launch.nonce)?),
        };
        let n_cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let values = Values { launch: &launch, own: &own, port, n_cores };
        let read = |name: &str| std::env::var(name).ok();
        let env = values.environment(engine, &self.installation, &self.config.env_pass, read);
        let confinement = confinement::of(&self.config, &launch, engine, (&own, port), &env);
        Ok(LaunchRecord {
            installation: self.installation.clone(),
            life: self.life.clone(),
            at: crate::clock::now(),
            program: engine.program.clone(),
            args: values.args(engine),
            env,
            log: self.logs.path(launch.endpoint, launch.attempt),
            log_bytes_max: self.config.log_bytes_max,
            log_files: self.config.log_files,
            stop_grace_secs: engine.stop.grace_secs.unwrap_or(self.config.stop_grace_secs),
            pids_max: self.config.pids_max,
            disk_bytes_max: Some(self.config.engine_disk_mib << 20),
            port,
            health: engine.health.clone(),
            stop_signal: engine.stop.signal,
            exits: engine.exits.clone(),
            confinement,
            launch,
        })
    }
}

/// Whether the engine loads such files.
fn must_load(engine: &EngineSpec, format: Option<ModelFormat>) -> Result<(), ModelUnavailable> {
    match format {
        Some(format) if !engine.formats.contains(&format) => {
            let loads: Vec<String> = engine.formats.iter().map(ToString::to_string).collect();
            Err(ModelUnavailable::Unusable(format!(
                "unsupported format: {format}; the engine `{}` needs {}",
                engine.kind,
                loads.join(" or ")
            )))
        }
        Some(_) | None => Ok(()),
    }
}

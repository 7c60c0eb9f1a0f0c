//! Watches one replica: waits for its shim to name itself, probes its engine, and notices the shim's end.

use std::io;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use dedi_domain::{Exit, FailureCause, ReplicaId, Timestamp};
use parking_lot::Mutex;

use super::log_progress::LogProgress;
use super::port;
use super::probe::{self, Health};
use super::watched::Watched;
use super::{Inner, blocking};
use crate::{clock, failpoint};
use dedi_shim::identity::{self, ProcessId};
use dedi_shim::records::{LaunchRecord, ReplicaDir, ShimRecord};

/// Between two looks for the record of a shim that is starting.
const SHIM_DELAY: Duration = Duration::from_millis(10);

/// After watching failed, before it is begun anew.
const FAILED_DELAY: Duration = Duration::from_millis(500);

/// Between two tries for the first token.
const TOKEN_DELAY: Duration = Duration::from_millis(500);

/// What probes said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Launching { progress_at: Timestamp, percent: Option<u8> },
    Ready,
    Unresponsive { since: Timestamp },
}

/// A replica that is being watched.
#[derive(Debug)]
pub(crate) struct Tracked {
    replica: ReplicaId,
    seen: Mutex<Seen>,
    /// What came instead of the first token.
    unready: Mutex<Option<String>>,
}

impl Tracked {
    pub(crate) fn seen(&self) -> Seen {
        *self.seen.lock()
    }

    pub(crate) fn unready(&self) -> Option<String> {
        self.unready.lock().clone()
    }
}

impl Inner {
    /// Begins to watch, unless somebody does. `child` is the shim if it was started by us just now.
    pub(crate) fn watch(
        self: &Arc<Self>,
        dir: ReplicaDir,
        record: &LaunchRecord,
        child: Option<Child>,
    ) -> Seen {
        let was_ready = match (dir.ready(), dir.shim()) {
            (Ok(Some(ready)), Ok(Some(shim))) => shim.engine == Some(ready),
            (_, _) => false,
        };
        // A process that has generated a token stays ready through a restart of the server until a probe
        // says otherwise: its requests must not be refused because the server is new.
        // Progress that nobody was there to see may have been made until now.
        let progress_at = record.at.max(self.opened_at);
        let seen = if was_ready { Seen::Ready } else { Seen::Launching { progress_at, percent: None } };
        let nonce = record.launch.nonce;
        let mut tracked = self.tracked.lock();
        if let Some(known) = tracked.get(&nonce) {
            return known.seen();
        }
        let (replica, unready) = (record.launch.replica, Mutex::new(None));
        let replica = Arc::new(Tracked { replica, seen: Mutex::new(seen), unready });
        tracked.insert(nonce, replica.clone());
        drop(tracked);
        let (inner, record) = (self.clone(), record.clone());
        self.tasks.spawn(async move {
            let watched = Watch { inner: &inner, tracked: &replica, dir: &dir, record: &record };
            if let Err(err) = watched.run(child).await {
                tracing::warn!(replica = %replica.replica, "no longer watched until the next look: {err}");
                // The next look begins anew and may fail the same way.
                tokio::time::sleep(FAILED_DELAY).await;
            }
            inner.tracked.lock().remove(&nonce);
            inner.changed.notify_one();
        });
        seen
    }
}

pub(super) struct Watch<'a> {
    pub(super) inner: &'a Inner,
    tracked: &'a Tracked,
    dir: &'a ReplicaDir,
    pub(super) record: &'a LaunchRecord,
}

impl Watch<'_> {
    async fn run(&self, child: Option<Child>) -> io::Result<()> {
        tokio::select! {
            () = self.inner.stop.cancelled() => Ok(()),
            ended = self.until_ended(child) => ended,
        }
    }

    async fn until_ended(&self, child: Option<Child>) -> io::Result<()> {
        let own = child.as_ref().map(Watched::child).transpose()?;
        let shim = self.shim(own.as_ref()).await?;
        if let (Some(own), Some(child)) = (&own, &child)
            && shim.as_ref().is_none_or(|it| u32::try_from(it.shim.pid) != Ok(child.id()))
        {
            // Another shim was there first: ours has ended, or is about to.
            own.ended().await?;
        }
        let Some(shim) = shim else {
            return if own.is_some() { self.record_failed_start().await } else { Ok(()) };
        };
        self.inner.remember(self.record, &shim);
        let shim = match own {
            Some(own) if child.is_some_and(|it| u32::try_from(shim.shim.pid) == Ok(it.id())) => own,
            Some(_) | None => match shim.shim.hold()? {
                Some(held) => Watched::held(held)?,
                None => return Ok(()),
            },
        };
        tokio::select! {
            ended = shim.ended() => ended,
            never = self.probe() => match never {},
        }
    }

    /// Our shim ended before it named itself. The launch is used up all the same: starting shims over and
    /// over would only repeat what ended this one, faster than anybody could see it.
    async fn record_failed_start(&self) -> io::Result<()> {
        let dir = self.dir.clone();
        blocking(move || {
            let was_called_off = dir.is_to_be_removed()? || dir.is_asked_to_stop()?;
            if was_called_off || dir.has_exit()? || dir.has_shim()? {
                return Ok(());
            }
            dir.write_exit(&Exit {
                code: None,
                signal: None,
                cause: FailureCause::SpawnFailed,
                at: clock::now(),
                log_tail: vec!["[dedi] the shim ended before it could start the engine".to_owned()],
            })
        })
        .await
    }

    /// The shim's record, once it is there; `None` if no shim is at work.
    async fn shim(&self, own: Option<&Watched>) -> io::Result<Option<ShimRecord>> {
        loop {
            // In this order: a shim that ends between the two looks has left its record.
            let is_at_work = own.is_some_and(|it| !it.has_ended()) || self.dir.is_locked()?;
            if let Some(shim) = self.dir.shim()? {
                return Ok(Some(shim));
            }
            if !is_at_work {
                return Ok(None);
            }
            tokio::time::sleep(SHIM_DELAY).await;
        }
    }

    /// Probes as long as the replica lives.
    async fn probe(&self) -> std::convert::Infallible {
        let config = &self.inner.config;
        let (address, spec) = (self.record.address(self.dir), &self.record.health);
        let timeout = spec.timeout_ms.map_or_else(|| config.probe_timeout(), Duration::from_millis);
        let interval = spec.interval_ms.map_or_else(|| config.probe_interval(), Duration::from_millis);
        let mut log = LogProgress::default();
        let mut n_failures = 0;
        let mut silent_since = clock::now();
        let mut warned = false;
        loop {
            let asked_at = clock::now();
            let health = probe::health(&address, spec, timeout).await;
            let seen = self.tracked.seen();
            match (health, seen) {
                (Health::Serving(nonce), seen) if !self.is_ours(nonce.as_deref(), seen).await => {
                    if !warned {
                        warned = true;
                        tracing::warn!(
                            replica = %self.tracked.replica,
                            "what answers at {address} is not known to be of this launch"
                        );
                    }
                    if seen == Seen::Ready {
                        self.set(Seen::Unresponsive { since: asked_at });
                    }
                }
                (Health::Serving(_), Seen::Launching { .. }) => {
                    self.progress(None);
                    match self.first_token().await {
                        Ok(()) => {
                            self.set(Seen::Ready);
                            n_failures = 0;
                            tracing::info!(replica = %self.tracked.replica, "ready");
                        }
                        Err(why) => {
                            tracing::debug!(replica = %self.tracked.replica, "not ready yet: {why}");
                            tokio::time::sleep(TOKEN_DELAY).await;
                        }
                    }
                }
                (Health::Serving(_), Seen::Ready | Seen::Unresponsive { .. }) => {
                    n_failures = 0;
                    self.set(Seen::Ready);
                }
                (Health::Loading(share), Seen::Launching { .. }) => {
                    let logged = log.read_new(self).await;
                    self.progress(share.or(logged));
                }
                (Health::Silent(_), Seen::Launching { .. }) => {
                    if let Some(share) = log.read_new(self).await {
                        self.progress(Some(share));
                    }
                }
                // That we can't ask says nothing of the engine.
                (Health::Unasked(why), _) => {
                    tracing::warn!(replica = %self.tracked.replica, "can't be asked how it is: {why}");
                    n_failures = 0;
                    if let Seen::Unresponsive { .. } = seen {
                        self.set(Seen::Unresponsive { since: clock::now() });
                    }
                }
                (Health::Loading(_) | Health::Silent(_), Seen::Ready) => {
                    if n_failures == 0 {
                        silent_since = asked_at;
                    }
                    n_failures += 1;
                    if n_failures >= config.probe_failures_max {
                        self.set(Seen::Unresponsive { since: silent_since });
                    }
                }
                (Health::Loading(_) | Health::Silent(_), Seen::Unresponsive { .. }) => {}
            }
            let delay = match self.tracked.seen() {
                Seen::Launching { .. } => config.launch_probe_interval(),
                Seen::Ready | Seen::Unresponsive { .. } => interval,
            };
            tokio::time::sleep(delay).await;
        }
    }

    /// Whether what answers is this launch's engine: by its mark, or by its socket, which lies in a folder that only we
    /// can write to. A TCP port is anybody's; who listens there is looked up until it is ready, and it keeps the port
    /// as long as it lives.
    async fn is_ours(&self, nonce: Option<&str>, seen: Seen) -> bool {
        let has_mark = match (nonce, &self.record.health.nonce) {
            (Some(nonce), _) => nonce == self.record.launch.nonce.to_string(),
            (None, expected) => expected.is_none(),
        };
        match (self.record.port, seen) {
            (Some(port), Seen::Launching { .. } | Seen::Unresponsive { .. }) if has_mark => {
                self.has_port(port).await
            }
            (Some(_) | None, _) => has_mark,
        }
    }

    async fn has_port(&self, port: u16) -> bool {
        let Ok(engine) = self.engine().await else { return false };
        let looked = blocking(move || port::is_of(port, &identity::family(engine)?)).await;
        looked.unwrap_or_else(|err| {
            tracing::warn!(replica = %self.tracked.replica, "who listens on port {port} can't be seen: {err}");
            false
        })
    }

    /// Has it generate a token, and writes down which process did.
    async fn first_token(&self) -> Result<(), String> {
        let before = self.engine().await?;
        let timeout = self.inner.config.first_token_timeout();
        let answered = probe::first_token(&self.record.address(self.dir), &self.record.launch, timeout).await;
        *self.tracked.unready.lock() = answered.as_ref().err().cloned();
        answered?;
        let dir = self.dir.clone();
        failpoint::hit("watch.before", "ready");
        let written = blocking(move || dir.write_ready(before)).await;
        failpoint::hit("watch.after", "ready");
        if let Err(err) = written {
            // Costs one more token after the server's next start.
            tracing::debug!(replica = %self.tracked.replica, "readiness could not be written down: {err}");
        }
        Ok(())
    }

    async fn engine(&self) -> Result<ProcessId, String> {
        let dir = self.dir.clone();
        match blocking(move || dir.shim()).await {
            Ok(Some(ShimRecord { engine: Some(engine), .. })) => Ok(engine),
            Ok(Some(_) | None) => Err("the engine's process is not recorded yet".to_owned()),
            Err(err) => Err(err.to_string()),
        }
    }

    /// Loading that gets on moves the time of the last progress; an engine that only repeats itself doesn't.
    fn progress(&self, share: Option<f64>) {
        let Seen::Launching { percent: before, .. } = self.tracked.seen() else { return };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=100")]
        let percent = share.map(|it| (it * 100.0).clamp(0.0, 100.0) as u8);
        if percent > before {
            self.set(Seen::Launching { progress_at: clock::now(), percent });
        }
    }

    fn set(&self, seen: Seen) {
        let mut now = self.tracked.seen.lock();
        if *now != seen {
            *now = seen;
            self.inner.changed.notify_one();
        }
    }
}

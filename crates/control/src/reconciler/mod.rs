//! The loop that brings the world to what is recorded: observe, decide, act, publish. It is driven by state,
//! not by events: a nudge says "observe again", and a lost one costs at most a tick.

mod act;
mod clean_up;
mod clocks;
mod ending;
mod environment;
mod isolate;
mod log_troubles;
mod models;
mod observe;
mod parts;
mod plan;
mod running;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use dedi_domain::autoscale::Scaler;
use dedi_domain::model_rights::Holders;
use dedi_domain::reconcile::decide;
use dedi_domain::route::{EndpointLoad, Serving};
use dedi_domain::time::Span;
use dedi_domain::{EndpointId, LoadReport, with_causes};
use dedi_failpoint as failpoint;
use dedi_runtime_api::Runtime;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::barrier::PassBarrier;
use crate::clock::Clock;
use crate::config::ControlConfig;
use crate::hub::Pulls;
use crate::key_ring::KeyRing;
use crate::last_pass::LastPass;
use crate::models::BlockingReader;
use crate::parts::Parts;
use crate::routing::Routing;
use crate::store::{Store, StoreError};
pub use environment::Environment;
use isolate::{Subject, Waits, decide_each};
use parts::{Actor, Observer};
pub use plan::{Carried, carry_out};

/// Passes in a row while each does something: a stop takes about six, so this ends only endless ones.
const PASSES_IN_A_ROW_MAX: u32 = 16;
/// Shortest time between two passes that something woke.
const GAP: Duration = Duration::from_millis(20);
/// Longest wait after passes that failed.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// The loop and what it remembers. Nothing of it has to survive a restart.
pub(crate) struct Reconciler {
    config: Arc<ControlConfig>,
    store: Arc<dyn Store>,
    runtime: Arc<dyn Runtime>,
    clock: Clock,
    barrier: Arc<PassBarrier>,
    pulls: Pulls,
    keys: Arc<KeyRing>,
    routing: Arc<Routing>,
    last_pass: Arc<LastPass>,
    /// Where what is due for a download reads its model.
    reader: BlockingReader,
    observer: Observer,
    actor: Actor,
    scaler: Scaler,
    models: models::ModelObserver,
    /// What went wrong in the last pass, so that each thing is logged when it begins and not twice a second.
    troubles: BTreeSet<String>,
    /// Endpoints whose last step failed.
    waits: Waits,
    /// Endpoints that can't be read, by id.
    unread: BTreeSet<String>,
    /// Endpoints whose changed model has been reported, and how it changed.
    changed_models: BTreeMap<EndpointId, String>,
    /// What was written of this run's clocks.
    written_span: Option<Span>,
    /// The wall clock can't be right; said once.
    clock_trouble: bool,
    /// Whether this server has taken the lead since it was opened or resumed.
    leads: bool,
    /// The database has gone from its path; said once.
    is_lost: bool,
    /// Failed passes in a row.
    n_failed: u32,
}

impl Reconciler {
    pub(crate) fn new(parts: &Parts) -> Self {
        Self {
            config: parts.config.clone(),
            store: parts.store.clone(),
            runtime: parts.runtime.clone(),
            clock: parts.clock.clone(),
            barrier: parts.barrier.clone(),
            pulls: parts.pulls.clone(),
            keys: parts.keys.clone(),
            routing: parts.routing.clone(),
            last_pass: parts.last_pass.clone(),
            reader: parts.readers.requests.clone(),
            observer: Observer::new(parts),
            actor: Actor::new(parts),
            scaler: Scaler::default(),
            models: models::ModelObserver::new(parts.readers.passes.clone()),
            troubles: BTreeSet::new(),
            waits: Waits::default(),
            unread: BTreeSet::new(),
            changed_models: BTreeMap::new(),
            written_span: None,
            clock_trouble: false,
            leads: false,
            is_lost: false,
            n_failed: 0,
        }
    }

    /// Runs until `cancel`.
    pub(crate) async fn run(&mut self, loads: watch::Receiver<LoadReport>, cancel: CancellationToken) {
        self.barrier.set_running(true);
        self.run_until(loads, cancel).await;
        self.barrier.set_running(false);
    }

    async fn run_until(&mut self, mut loads: watch::Receiver<LoadReport>, cancel: CancellationToken) {
        let (barrier, runtime) = (self.barrier.clone(), self.runtime.clone());
        let mut tick = interval(Duration::from_millis(self.config.tick_millis));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_clean_up: Option<Instant> = None;
        let mut report = LoadReport::default();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = barrier.asked() => {}
                () = runtime.changed() => {}
                () = needs_a_look(&mut loads, &report) => {}
                _ = tick.tick() => {}
            }
            report = loads.borrow_and_update().clone();
            self.settle(&report).await;
            if last_clean_up.is_none_or(|it| it.elapsed() > Duration::from_secs(3_600)) {
                last_clean_up = Some(Instant::now());
                self.forget_old().await;
                self.sweep_logs().await;
                self.pulls.forget_stale().await;
            }
            let wait = self.backoff().max(GAP);
            if timeout(wait, cancel.cancelled()).await.is_ok() {
                return;
            }
        }
    }

    /// Passes until one has nothing to do.
    pub(crate) async fn settle(&mut self, report: &LoadReport) {
        for _ in 0..PASSES_IN_A_ROW_MAX {
            // What one endpoint's step does stays with it; a panic elsewhere must not end the loop either.
            match AssertUnwindSafe(self.pass(report)).catch_unwind().await {
                Ok(Ok(n_done)) => {
                    self.n_failed = 0;
                    if n_done == 0 {
                        return;
                    }
                }
                Ok(Err(err)) => return self.failed(&format!("a pass failed: {}", with_causes(&err))),
                Err(_panic) => return self.failed("a pass panicked; see the message before this one"),
            }
        }
    }

    fn failed(&mut self, what: &str) {
        self.n_failed = self.n_failed.saturating_add(1);
        if self.n_failed == 1 {
            tracing::error!("{what}; it is tried again at growing intervals");
        }
    }

    fn backoff(&self) -> Duration {
        match self.n_failed {
            0 => Duration::ZERO,
            n => GAP.saturating_mul(2_u32.saturating_pow(n.min(16))).min(BACKOFF_MAX),
        }
    }

    /// One observation and one step; returns how many actions were done.
    async fn pass(&mut self, report: &LoadReport) -> Result<usize, StoreError> {
        let mut troubles = BTreeSet::new();
        let pass = self.barrier.begin();
        self.tell_clocks().await;
        crate::ownership::settle(&self.pulls, &self.reader, self.store.as_ref(), &self.clock).await;
        if self.is_lost() {
            // Nothing could be recorded: what was published last stays, and replicas are left as they are.
            self.barrier.complete(pass);
            return Ok(0);
        }
        // Before the observation: what is seen after another server's last write can't be overtaken by one.
        let not_leading = self.take_lead().await;
        troubles.extend(not_leading.clone());
        let seen = observe::observe(
            &self.observer,
            report,
            &mut self.scaler,
            &mut self.models,
            &mut self.changed_models,
        )
        .await?;
        troubles.extend(seen.troubles);
        let world = Arc::new(seen.world);
        self.last_pass.set_world(world.clone());
        self.keys.reload().await?;
        failpoint::hit("pass.before", "routes");
        let slots = self.config.slots;
        let mut holders = self.store.holders().await?;
        let held = |it| (holders.remove(&it).unwrap_or(Holders::Everyone), it);
        let models = seen.models.into_iter().map(held).map(|(of, it)| (it, of)).collect();
        let serving = Serving { models, contexts: seen.contexts, slots, ..Serving::default() };
        self.routing.publish_world(&world, serving, || self.keys.table());
        self.barrier.complete(pass);
        self.note_uses(report).await;
        self.log_unread(&seen.unread, world.now).await;
        // Before anything that may take long, and no action: a pass that does nothing else is at rest.
        if let Err(err) = running::beat(&self.actor, &world).await {
            troubles.insert(format!(
                "the running times of replicas could not be recorded: {}",
                with_causes(&err)
            ));
        }
        let mut decided = world.clone();
        if !self.waits.is_empty() {
            self.waits.quarantine(Arc::make_mut(&mut decided));
        }
        let (actions, culprits) = decide_each(&decided, decide);
        let mut failed: BTreeSet<Subject> = culprits.into_iter().map(Subject::Endpoint).collect();
        let mut panicked = failed.clone();
        let carried = carry_out(&self.actor, &world, &actions, not_leading.as_deref()).await;
        troubles.extend(carried.troubles);
        failed.extend(carried.failed);
        panicked.extend(carried.panicked);
        self.last_pass.set_unrecorded(carried.unrecorded);
        self.waits.note(&failed, self.clock.now());
        self.log_panicked(&panicked, world.now).await;
        self.log_troubles(troubles);
        Ok(carried.n_done)
    }

    /// Takes the lead, once; answers why that could not be done. From one that took it afterwards it is not taken back.
    async fn take_lead(&mut self) -> Option<String> {
        if self.leads {
            return None;
        }
        match self.store.lead().await {
            Ok(epoch) => {
                tracing::debug!(%epoch, "took the lead of the store");
                self.leads = true;
                None
            }
            Err(err) => Some(with_causes(&err)),
        }
    }

    /// The next pass takes the lead, which another server may have had.
    pub(crate) fn lead_again(&mut self) {
        self.leads = false;
    }

    /// Whether the database is another than the one at its path.
    fn is_lost(&mut self) -> bool {
        let place = self.store.check_place();
        let was_lost = std::mem::replace(&mut self.is_lost, place.is_err());
        match place {
            Ok(()) if was_lost => tracing::info!("the database is in its place again"),
            Err(err) if !was_lost => tracing::error!("{err}; requests and replicas go on"),
            Ok(()) | Err(_) => {}
        }
        self.is_lost
    }
}

/// Returns when a report says something new since the last observation that can't wait for the tick: a first request waits for a
/// replica of an endpoint, or a route table was acknowledged. While requests wait, ticks do.
async fn needs_a_look(loads: &mut watch::Receiver<LoadReport>, seen: &LoadReport) {
    loop {
        if loads.changed().await.is_err() {
            // No gateway any more; ticks go on.
            loop {
                sleep(Duration::from_secs(3_600)).await;
            }
        }
        let report = loads.borrow_and_update();
        let waited = |id: &EndpointId| seen.endpoints.get(id).is_some_and(|it| it.waiting > 0);
        let waits = |(id, it): (&EndpointId, &EndpointLoad)| it.waiting > 0 && !waited(id);
        if report.routes_version != seen.routes_version || report.endpoints.iter().any(waits) {
            return;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use dedi_domain::endpoint::RunCause;
    use dedi_domain::{
        Desired, EndpointId, EndpointName, EndpointState, HardwareId, ModelName, Owner, ReplicaRange, Run,
        Timestamp,
    };

    /// A new endpoint with these bounds.
    pub(crate) fn desired(min: i64, max: i64) -> Desired {
        let owner = Owner::parse("team").unwrap();
        let model = ModelName::parse("dedi/demo").unwrap();
        Desired {
            id: EndpointId::from_uuid(uuid::Uuid::new_v4()),
            name: EndpointName::compose(&owner, &model, 1),
            owner,
            display_name: "demo".to_owned(),
            model,
            engine: dedi_domain::EngineKind::default(),
            hardware: HardwareId::parse("1x_cpu_8gb").unwrap(),
            replicas: ReplicaRange::new(min, max).unwrap(),
            run: Run::Started,
            run_cause: RunCause::User,
            deleted: false,
            inactive_timeout_minutes: None,
            idle: Default::default(),
            availability_zone: None,
            disable_speculative_decoding: false,
            generation: 1,
            observed_generation: 0,
            published: EndpointState::Pending,
            published_at: Timestamp(0),
            created_at: Timestamp(0),
            started_at: Timestamp(0),
        }
    }
}

//! Carries out one action of a decision. Each may be lost, repeated or half done; the next observation goes on from
//! what is there.

use std::time::Duration;

use dedi_domain::fit::{ModelFacts, bytes_per_device};
use dedi_domain::launch::AssignedDevice;
use dedi_domain::reconcile::{EndpointView, ReplicaView, World};
use dedi_domain::status::explain;
use dedi_domain::{Action, EndpointId, EndpointState, FailureCause, Nonce, PlacedBy, ReplicaId, with_causes};
use dedi_failpoint as failpoint;
use dedi_runtime_api::{Launch, ModelRef, ModelUnavailable, Placement, Resources, RuntimeError};
use tokio::time::timeout;

use super::ending::{ending, held, plain, stopping};
use super::environment::Environment;
use super::running;
use crate::last_pass::view_of;
use crate::store::StoreError;

/// Longest wait for the runtime to start or end a process.
const DO_MAX: Duration = Duration::from_secs(30);
/// Longest read of what launches have logged.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Why an action was not done.
pub(super) enum Trouble {
    /// The row has moved on since the observation.
    Moved,
    /// A sentence for the log. Its endpoint waits before the next try.
    Failed(String),
    /// The store is full or locked, which is everybody's trouble and may pass; in its words.
    NotRecorded(String),
    /// Another server leads: neither this action nor what follows in the plan is for this one to do.
    Fenced(String),
    /// It panicked, which is not this action's to say.
    Panicked,
    /// A launch failed and that is recorded; what follows in the plan was decided without knowing it.
    Overtaken,
}

impl From<StoreError> for Trouble {
    fn from(err: StoreError) -> Self {
        if matches!(err, StoreError::Conflict | StoreError::NotFound) {
            return Self::Moved;
        }
        let what = with_causes(&err);
        if matches!(err, StoreError::Fenced) {
            Self::Fenced(what)
        } else if err.is_passing() {
            Self::NotRecorded(what)
        } else {
            Self::Failed(format!("a step could not be recorded: {what}"))
        }
    }
}

/// One action. What it changes is visible to the next observation, whatever becomes of the answer.
pub(super) async fn act(
    environment: &dyn Environment,
    world: &World,
    action: &Action,
) -> Result<(), Trouble> {
    failpoint::hit("act.before", word(action));
    let done = carry_out(environment, world, action).await;
    failpoint::hit("act.after", word(action));
    done
}

async fn carry_out(environment: &dyn Environment, world: &World, action: &Action) -> Result<(), Trouble> {
    let now = environment.now();
    let store = environment.pass();
    match action {
        Action::Reserve { endpoint, devices } => {
            let replica = ReplicaId::from_uuid(environment.new_id());
            let nonce = Nonce::from_uuid(environment.new_id());
            let generation = generation(world, *endpoint).ok_or(Trouble::Moved)?;
            let logged = last_logged(environment, *endpoint).await;
            let attempt =
                store.reserve(*endpoint, generation, (replica, nonce), devices, logged, now).await?;
            tracing::info!(endpoint.id = %endpoint, replica.id = %replica, attempt, "reserved devices for a replica");
        }
        Action::Spawn { replica } => spawn(environment, world, *replica).await?,
        Action::MarkSeen { replica } => store.mark_seen(*replica).await?,
        Action::MarkReady { replica } => {
            store.mark_ready(*replica, &running::ready(environment, world, *replica)).await?;
            tracing::info!(replica.id = %replica, "a replica is ready");
        }
        Action::Fail { replica, cause } => {
            let ending = ending(environment, world, *replica, *cause).await;
            store.fail(*replica, &ending, running::last_moment(environment, world, *replica), now).await?;
            tracing::warn!(replica.id = %replica, detail = ending.detail, "a replica ended: {}", cause.sentence());
        }
        Action::Drain { replica, reason } => store.drain(*replica, *reason, now).await?,
        Action::Stop { replica, reason, drain } => {
            let ran = running::last_moment(environment, world, *replica);
            let how = stopping(world, *replica, *reason, *drain);
            store.stop(*replica, *reason, ran, &how, now).await?;
        }
        Action::Remove { replica, nonce, reason } => {
            tracing::info!(replica.id = %replica, "ending the processes of a replica: {}", reason.sentence());
            match timeout(DO_MAX, environment.runtime().remove(*replica, *nonce)).await {
                Ok(Ok(())) => {}
                Ok(Err(err)) => {
                    return Err(Trouble::Failed(format!(
                        "{replica} could not be removed: {}",
                        with_causes(&err)
                    )));
                }
                Err(_elapsed) => return Err(Trouble::Failed(format!("{replica} was not removed in time"))),
            }
        }
        Action::MarkGone { replica } => store.mark_gone(*replica, now).await?,
        Action::Release { replica, leftover_bytes, unmeasured } => {
            let held = held(world, *replica, unmeasured);
            store.release(*replica, held.as_deref(), now).await?;
            match held {
                None => {
                    tracing::info!(replica.id = %replica, "a replica is gone and its devices are free");
                }
                Some(held) => {
                    tracing::warn!(replica.id = %replica, leftover_bytes, "a replica is gone, but {held}");
                }
            }
        }
        Action::StopIdle { endpoint, generation } => {
            store.stop_idle(*endpoint, *generation, now).await?;
            tracing::info!(endpoint.id = %endpoint, "stopped an endpoint that was idle for its whole timeout");
        }
        Action::Publish { endpoint, from, state, generation } => {
            let message = message(world, *endpoint, *from, *state);
            store.publish(*endpoint, *from, *state, *generation, &message, now).await?;
            if from != state {
                tracing::info!(endpoint.id = %endpoint, "{message}");
            }
        }
        Action::Erase { endpoint } => {
            store.erase(*endpoint, now).await?;
            forget_logs(environment, *endpoint).await;
            tracing::info!(endpoint.id = %endpoint, "a deleted endpoint is gone");
        }
    }
    Ok(())
}

/// The last launch that has a log. After a backup was put back it may be one that the store does not know; the next
/// launch must not write into its log. A launch does not wait for a disk that does not answer.
async fn last_logged(environment: &dyn Environment, endpoint: EndpointId) -> u32 {
    match timeout(LOOK_MAX, environment.runtime().last_logged_attempt(endpoint)).await {
        Ok(Ok(attempt)) => attempt,
        Ok(Err(err)) => {
            tracing::warn!(endpoint.id = %endpoint, "which launches have logs is unknown: {err}");
            0
        }
        Err(_elapsed) => {
            tracing::warn!(endpoint.id = %endpoint, "which launches have logs was not read in time");
            0
        }
    }
}

/// Removes what an erased endpoint has logged. What fails here is done by the next sweep.
pub(super) async fn forget_logs(environment: &dyn Environment, endpoint: EndpointId) {
    if let Err(err) = environment.runtime().forget_logs(endpoint).await {
        tracing::warn!(endpoint.id = %endpoint, "the logs of an erased endpoint could not be removed: {err}");
    }
}

fn word(action: &Action) -> &'static str {
    match action {
        Action::Reserve { .. } => "reserve",
        Action::Spawn { .. } => "spawn",
        Action::MarkSeen { .. } => "mark-seen",
        Action::MarkReady { .. } => "mark-ready",
        Action::Fail { .. } => "fail",
        Action::Drain { .. } => "drain",
        Action::Stop { .. } => "stop",
        Action::Remove { .. } => "remove",
        Action::MarkGone { .. } => "mark-gone",
        Action::Release { .. } => "release",
        Action::StopIdle { .. } => "stop-idle",
        Action::Publish { .. } => "publish",
        Action::Erase { .. } => "erase",
    }
}

async fn spawn(environment: &dyn Environment, world: &World, replica: ReplicaId) -> Result<(), Trouble> {
    let Some((view, own)) = find(world, replica) else { return Err(Trouble::Moved) };
    let pinned = environment.pins().model_pin(view.desired.id).await?;
    let facts = match environment.loadable(&view.desired.model, pinned.as_deref()).await {
        Ok(facts) => facts,
        Err(why) => return Err(not_loadable(environment, replica, why).await?),
    };
    let launch = launch(environment, world, (view, own), &facts, pinned);
    match timeout(DO_MAX, environment.runtime().ensure(&launch)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(RuntimeError::Model { replica, why })) => Err(not_loadable(environment, replica, why).await?),
        Ok(Err(err @ (RuntimeError::Launch { .. } | RuntimeError::Unavailable { .. }))) => {
            let ending = plain(FailureCause::SpawnFailed, with_causes(&err));
            tracing::warn!(replica.id = %replica, detail = ending.detail, "a replica could not be launched");
            environment.pass().fail(replica, &ending, None, environment.now()).await?;
            Err(Trouble::Overtaken)
        }
        // Whether it was started is not known; the next observation shows it.
        Err(_elapsed) => Err(Trouble::Failed(format!("{replica} was not launched in time"))),
    }
}

/// What follows when the files of a replica's model are not to be had.
async fn not_loadable(
    environment: &dyn Environment,
    replica: ReplicaId,
    why: ModelUnavailable,
) -> Result<Trouble, Trouble> {
    match why {
        ModelUnavailable::Unknown(_) => Ok(Trouble::Moved),
        ModelUnavailable::NotNow(why) => Ok(Trouble::Failed(format!("{replica} was not launched: {why}"))),
        ModelUnavailable::Unusable(why) => {
            let ending = plain(FailureCause::ModelUnusable, why);
            environment.pass().fail(replica, &ending, None, environment.now()).await?;
            Ok(Trouble::Overtaken)
        }
    }
}

fn launch(
    environment: &dyn Environment,
    world: &World,
    (view, own): (&EndpointView, &ReplicaView),
    facts: &ModelFacts,
    revision: Option<String>,
) -> Launch {
    let desired = &view.desired;
    let (serving, need) = environment.need(facts);
    let devices: Vec<AssignedDevice> = own
        .row
        .devices
        .iter()
        .filter_map(|it| world.inventory.device(it))
        .map(|it| AssignedDevice { id: it.id.clone(), kind: it.kind.clone(), index: it.index })
        .collect();
    let (is_on_cores, n_devices) = match world.capabilities.placed_by {
        PlacedBy::Decision => (devices.iter().any(|it| it.kind.is_cpu()), count(devices.len())),
        PlacedBy::Runtime => (desired.hardware.is_cpu(), u64::from(desired.hardware.count())),
    };
    let share: u64 = own
        .row
        .devices
        .iter()
        .filter_map(|it| world.inventory.device(it))
        .fold(0, |sum, it| sum.saturating_add(it.memory_total_bytes));
    let memory_limit_bytes = if is_on_cores {
        // The device's memory is the host's, so the replica is held to its share of it.
        Some(share.max(bytes_per_device(need, 1)))
    } else {
        // One that leaks must end itself and not its neighbours.
        let each = u64::from(environment.gpu_host_memory_gb()).saturating_mul(1_000_000_000);
        (each > 0).then(|| need.weights_bytes.saturating_add(each.saturating_mul(n_devices)))
    };
    let placement = match world.capabilities.placed_by {
        PlacedBy::Decision => Placement::Devices(devices),
        PlacedBy::Runtime => Placement::Delegated(Resources {
            bytes_per_device: bytes_per_device(need, desired.hardware.count()),
            hardware: desired.hardware.clone(),
        }),
    };
    Launch {
        replica: own.row.id,
        nonce: own.row.nonce,
        endpoint: desired.id,
        attempt: own.row.attempt,
        engine: desired.engine.clone(),
        model: ModelRef { name: desired.model.clone(), revision },
        placement,
        context_tokens: serving.context_tokens,
        slots: serving.slots,
        memory_limit_bytes,
        embedding: facts.is_embedding,
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn generation(world: &World, endpoint: EndpointId) -> Option<u64> {
    world.endpoints.iter().map(|it| &it.desired).find(|it| it.id == endpoint).map(|it| it.generation)
}

/// A replica's row and its endpoint, as they were observed.
pub(super) fn find(world: &World, replica: ReplicaId) -> Option<(&EndpointView, &ReplicaView)> {
    world
        .endpoints
        .iter()
        .find_map(|view| view.replicas.iter().find(|it| it.row.id == replica).map(|it| (view, it)))
}

/// `STARTING -> STARTED: 1 of 1 replica answers`.
fn message(
    world: &World,
    endpoint: dedi_domain::EndpointId,
    from: EndpointState,
    to: EndpointState,
) -> String {
    let why = view_of(world, endpoint).map(|view| {
        let mut shown = view.clone();
        shown.desired.published = to;
        explain(&shown, world).reason.message
    });
    match why {
        Some(why) => format!("{from} -> {to}: {why}"),
        None => format!("{from} -> {to}"),
    }
}

//! Why an endpoint is in its state: a code for programs, a sentence with the numbers for people, and the
//! next step.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::advice::next_step;
use crate::endpoint::{EndpointState, Run, RunCause};
use crate::failure::{Failure, Verdict, pause, verdict};
use crate::fetch::Fetch;
use crate::placement::Shortage;
use crate::reconcile::{EndpointView, Observation, World, by_mark, launches, phase_of, wanted};
use crate::replica::{FailureCause, Intent, ReplicaPhase};
use crate::time::Timestamp;

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// The reason of a state, as programs match it. Listed in docs/reasons.md.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum ReasonCode {
            $($(#[$doc])* #[serde(rename = $code)] $name,)*
        }

        impl ReasonCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code's text on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

reason_codes! {
    /// Accepted; no pass has looked at it yet.
    Accepted = "accepted",
    /// Every suitable device is taken.
    NoCapacity = "no_capacity",
    /// Somebody who asked earlier is served first.
    WaitingTurn = "waiting_turn",
    /// Devices are free but other programs use their memory.
    MemoryInUse = "memory_in_use",
    /// The host has no such devices, or too few healthy ones.
    HardwareMissing = "hardware_missing",
    /// Replicas of the last run still drain or stop.
    DrainingPrevious = "draining_previous",
    /// The model is being fetched from the hub.
    Downloading = "downloading",
    /// The model could not be fetched; the next try waits.
    DownloadFailed = "download_failed",
    /// The last attempt failed; the next one waits.
    BackingOff = "backing_off",
    /// A process was started.
    Launching = "launching",
    /// The engine loads the model.
    Loading = "loading",
    /// All wanted replicas answer.
    Ready = "ready",
    /// Some wanted replicas answer, others do not yet.
    Scaling = "scaling",
    /// Some wanted replicas answer; for the others there is no room or they fail.
    Degraded = "degraded",
    /// No replica runs; the first request starts one.
    Asleep = "asleep",
    /// Running requests are being finished.
    Draining = "draining",
    /// Processes are being ended.
    Terminating = "terminating",
    /// Processes are gone; device memory is not back yet.
    Releasing = "releasing",
    /// A request stopped it, or it was created stopped.
    StoppedByUser = "stopped_by_user",
    /// It was idle for its whole inactivity timeout.
    StoppedInactive = "stopped_inactive",
    /// It is being deleted.
    Deleting = "deleting",
    /// The runtime could not be asked; the state is the last known one.
    Unobserved = "unobserved",
    /// The engine exits with an error each time.
    EngineExited = "engine_exited",
    /// Something kills the engine each time.
    EngineKilled = "engine_killed",
    /// The engine runs out of host memory.
    OutOfMemory = "out_of_memory",
    /// The engine runs out of device memory.
    DeviceOutOfMemory = "device_out_of_memory",
    /// The model's files are damaged or unsupported.
    ModelUnusable = "model_unusable",
    /// The engine program can't be started.
    SpawnFailed = "spawn_failed",
    /// The engine never became ready.
    StartupDeadline = "startup_deadline",
    /// The engine stops answering.
    Unresponsive = "unresponsive",
    /// The engine hits its limit of processes.
    ProcessLimit = "process_limit",
    /// Engine and supervisor disappear.
    Lost = "lost",
    /// The host restarted.
    HostRestarted = "host_restarted",
    /// A device became faulty.
    DeviceLost = "device_lost",
    /// `dedi down`, or a signal to its supervisor, ended it.
    StoppedOnHost = "stopped_on_host",
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<FailureCause> for ReasonCode {
    fn from(cause: FailureCause) -> Self {
        match cause {
            FailureCause::EngineExited => Self::EngineExited,
            FailureCause::EngineKilled => Self::EngineKilled,
            FailureCause::OutOfMemory => Self::OutOfMemory,
            FailureCause::DeviceOutOfMemory => Self::DeviceOutOfMemory,
            FailureCause::ModelUnusable => Self::ModelUnusable,
            FailureCause::SpawnFailed => Self::SpawnFailed,
            FailureCause::StartupDeadline => Self::StartupDeadline,
            FailureCause::Unresponsive => Self::Unresponsive,
            FailureCause::ProcessLimit => Self::ProcessLimit,
            FailureCause::Lost => Self::Lost,
            FailureCause::HostRestarted => Self::HostRestarted,
            FailureCause::DeviceLost => Self::DeviceLost,
            FailureCause::Stopped => Self::StoppedOnHost,
        }
    }
}

/// A code and its sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// For programs.
    pub code: ReasonCode,
    /// For people, with the numbers.
    pub message: String,
    /// A command or a change that would help, if there is one.
    pub next_step: Option<String>,
}

/// How far a launch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Percent done, where the engine says.
    pub percent: Option<u8>,
    /// Seconds since the launch.
    pub elapsed_secs: u64,
}

/// Everything an endpoint says of itself beyond its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Why.
    pub reason: Reason,
    /// Since when the state is shown.
    pub since: Timestamp,
    /// Replicas that answer.
    pub n_ready: u32,
    /// Replicas wanted now.
    pub n_wanted: u32,
    /// How far the furthest launch is.
    pub progress: Option<Progress>,
    /// When a failed endpoint is tried again; `None` in ERROR means not before the user acts.
    pub next_retry_at: Option<Timestamp>,
    /// What went wrong first, of the failures that count.
    pub first_failure: Option<Failure>,
    /// What went wrong last.
    pub last_failure: Option<Failure>,
}

/// Explains the endpoint `view` of `world`.
pub fn explain(view: &EndpointView, world: &World) -> Status {
    let desired = &view.desired;
    let counted: Vec<&Failure> = counted(view).collect();
    let judged = verdict(desired.id, &view.failures, desired.started_at, &world.settings.backoff);
    let next_retry_at = match &judged {
        Verdict::Clean => None,
        Verdict::BackingOff { retry_at, .. } => Some(*retry_at),
        Verdict::Broken { retry_at, .. } => *retry_at,
    };
    let paused = paused(view, world).map(|(until, _)| until);
    let count = count_replicas(view, world);
    let next_retry_at = next_retry_at.max(paused);
    let next_retry_at = view.fetch.as_ref().and_then(Fetch::retry_at).or(next_retry_at);
    Status {
        reason: reason(view, world, &judged, &count),
        since: desired.published_at,
        n_ready: count.ready,
        n_wanted: wanted(view),
        progress: count.progress,
        next_retry_at: next_retry_at.filter(|_| desired.wants_replicas() && count.ready < wanted(view)),
        first_failure: counted.first().map(|it| (*it).clone()),
        last_failure: counted.last().map(|it| (*it).clone()),
    }
}

/// The failures of this run that are held against it, oldest first.
fn counted(view: &EndpointView) -> impl DoubleEndedIterator<Item = &Failure> {
    view.failures.iter().filter(|it| it.at >= view.desired.started_at && it.cause.counts())
}

#[derive(Default)]
struct Count {
    ready: u32,
    launching: u32,
    draining: u32,
    stopping: u32,
    in_flight: u32,
    gone: u32,
    progress: Option<Progress>,
}

fn count_replicas(view: &EndpointView, world: &World) -> Count {
    let Observation::Known(observed) = &world.observation else { return Count::default() };
    let seen = by_mark(observed);
    let mut count = Count::default();
    for it in &view.replicas {
        let phase = phase_of(&it.row, &seen);
        count.in_flight += it.in_flight;
        match it.row.intent {
            Intent::Run => match phase {
                Some(ReplicaPhase::Ready { .. }) => count.ready += 1,
                Some(ReplicaPhase::Launching { percent, .. }) => {
                    count.launching += 1;
                    let elapsed_secs = world.now.since(it.row.reserved_at).as_secs();
                    if count.progress.is_none_or(|old| old.percent < *percent) {
                        count.progress = Some(Progress { percent: *percent, elapsed_secs });
                    }
                }
                None
                | Some(
                    ReplicaPhase::Unstarted
                    | ReplicaPhase::Unresponsive { .. }
                    | ReplicaPhase::Stopping
                    | ReplicaPhase::Orphaned
                    | ReplicaPhase::Exited(_),
                ) => count.launching += 1,
            },
            Intent::Drain { .. } => count.draining += 1,
            Intent::Stop { .. } if phase.is_none() => count.gone += 1,
            Intent::Stop { .. } => count.stopping += 1,
        }
    }
    count
}

fn say(code: ReasonCode, message: impl Into<String>) -> Reason {
    Reason { code, message: message.into(), next_step: None }
}

fn advise(code: ReasonCode, message: impl Into<String>, next_step: impl Into<String>) -> Reason {
    Reason { code, message: message.into(), next_step: Some(next_step.into()) }
}

fn reason(view: &EndpointView, world: &World, judged: &Verdict, count: &Count) -> Reason {
    let desired = &view.desired;
    if world.observation == Observation::Unknown {
        return say(
            ReasonCode::Unobserved,
            "the runtime has not been observed yet; the state is the last known one",
        );
    }
    match desired.published {
        EndpointState::Pending => pending_reason(view, world, judged, count),
        EndpointState::Starting => starting_reason(count),
        EndpointState::Started => started_reason(view, world, count),
        EndpointState::Stopping => stopping_reason(view, count),
        EndpointState::Stopped => match (desired.run, desired.run_cause, desired.inactive_timeout_minutes) {
            (Run::Stopped, RunCause::Inactive, Some(minutes)) => advise(
                ReasonCode::StoppedInactive,
                format!("no inference request for {minutes} minutes"),
                format!("start it with `dedi endpoints start {}`", desired.id),
            ),
            (Run::Stopped, RunCause::Inactive, None) => {
                say(ReasonCode::StoppedInactive, "no inference request for its inactivity timeout")
            }
            (Run::Stopped, RunCause::User, _) => advise(
                ReasonCode::StoppedByUser,
                "stopped on request",
                format!("start it with `dedi endpoints start {}`", desired.id),
            ),
            (Run::Started, _, _) => say(ReasonCode::Accepted, "accepted; waits for the next pass"),
        },
        EndpointState::Error => error_reason(view, world, judged),
    }
}

fn pending_reason(view: &EndpointView, world: &World, judged: &Verdict, count: &Count) -> Reason {
    let desired = &view.desired;
    if let Some(fetch) = &view.fetch {
        return fetch_reason(view, fetch, world.now);
    }
    if let Verdict::BackingOff { retry_at, n_failures } = judged
        && world.now < *retry_at
    {
        let wait = retry_at.since(world.now).as_secs() + 1;
        let last = counted(view).next_back().map_or("it failed", |it| it.cause.sentence());
        return advise(
            ReasonCode::BackingOff,
            format!("attempt {n_failures} failed: {last}; the next one is in {wait} s"),
            format!("see `dedi endpoints logs {}`", desired.id),
        );
    }
    if let Some((until, cause)) = paused(view, world) {
        let wait = until.since(world.now).as_secs() + 1;
        return advise(
            ReasonCode::BackingOff,
            format!(
                "its replicas end again and again soon after they start, the last because {}; the next launch is in {wait} s",
                cause.sentence()
            ),
            format!("find what ends them, then `dedi endpoints start {}`", desired.id),
        );
    }
    if count.draining + count.stopping + count.gone > 0 {
        let left = count.draining + count.stopping + count.gone;
        return say(
            ReasonCode::DrainingPrevious,
            format!("waits until {left} replica(s) of the last run are gone"),
        );
    }
    match shortage(view, world) {
        Some(shortage) => shortage_reason(view, &shortage),
        None => say(ReasonCode::Accepted, "accepted; waits for the next pass"),
    }
}

/// Until when nothing is launched because of ends that are not held against it, and why it last ended.
fn paused(view: &EndpointView, world: &World) -> Option<(Timestamp, FailureCause)> {
    let desired = &view.desired;
    let until = pause(desired.id, &view.failures, desired.started_at, &world.settings.backoff)?;
    let last = view.failures.iter().rfind(|it| !it.cause.counts())?;
    (world.now < until).then_some((until, last.cause))
}

fn fetch_reason(view: &EndpointView, fetch: &Fetch, now: Timestamp) -> Reason {
    let model = &view.desired.model;
    match fetch {
        Fetch::Queued => say(ReasonCode::Downloading, format!("waits for another download before {model}")),
        Fetch::Running { bytes_total: None, .. } => {
            say(ReasonCode::Downloading, format!("asks the hub which files {model} has"))
        }
        Fetch::Running { bytes_done, bytes_total: Some(total), .. } => say(
            ReasonCode::Downloading,
            format!(
                "fetches {model} from the hub: {} %, {} of {} MiB",
                fetch.percent().unwrap_or(0),
                bytes_done >> 20,
                total >> 20
            ),
        ),
        Fetch::Failed { what, n_failures, retry_at, .. } => advise(
            ReasonCode::DownloadFailed,
            format!(
                "{what} (try {n_failures}); the next try is in {} s",
                retry_at.since(now).as_secs().saturating_add(1)
            ),
            format!("mend it, then `dedi endpoints start {}`", view.desired.id),
        ),
    }
}

fn shortage(view: &EndpointView, world: &World) -> Option<Shortage> {
    let Observation::Known(observed) = &world.observation else { return None };
    let endpoints: Vec<&EndpointView> = world.endpoints.iter().collect();
    launches(&endpoints, &by_mark(observed), world)
        .into_iter()
        .find_map(|(id, devices)| (id == view.desired.id).then_some(devices.err()).flatten())
}

fn shortage_reason(view: &EndpointView, shortage: &Shortage) -> Reason {
    let hardware = &view.desired.hardware;
    match shortage {
        Shortage::NoSuchHardware { n_healthy, n_needed, trouble } => {
            let why = trouble.as_ref().map_or(String::new(), |it| format!("; {it}"));
            advise(
                ReasonCode::HardwareMissing,
                format!(
                    "{hardware} needs {n_needed} device(s); this host has {n_healthy} healthy one(s) of that kind{why}"
                ),
                "see `dedi endpoints hardware`",
            )
        }
        Shortage::Busy { n_free, n_needed } => advise(
            ReasonCode::NoCapacity,
            format!("{hardware} needs {n_needed} free device(s), {n_free} are free; it starts when one is"),
            "stop another endpoint or lower its min_replicas; `dedi endpoints hardware` shows who uses what",
        ),
        Shortage::Memory { available_bytes, needed_bytes, user, leftover_bytes } => {
            let by = user.as_ref().map_or(String::new(), |it| format!("; the largest user is {it}"));
            let (held, next_step) = match leftover_bytes >> 20 {
                0 => (String::new(), "end the other programs on the device, or choose larger hardware"),
                mib => (
                    format!("; on one, {mib} MiB are held by no process that is there, so it is not used"),
                    "`nvidia-smi` shows the device; a reset frees its memory",
                ),
            };
            advise(
                ReasonCode::MemoryInUse,
                format!(
                    "each device needs {} MiB, at most {} MiB are free on one{by}{held}",
                    needed_bytes >> 20,
                    available_bytes >> 20
                ),
                next_step,
            )
        }
        Shortage::Turn => say(
            ReasonCode::WaitingTurn,
            "an endpoint that asked earlier for this kind of device is served first",
        ),
    }
}

fn starting_reason(count: &Count) -> Reason {
    let n = count.launching;
    match count.progress {
        Some(Progress { percent: Some(percent), elapsed_secs }) => say(
            ReasonCode::Loading,
            format!("the engine loads the model: {percent} % after {elapsed_secs} s"),
        ),
        Some(Progress { percent: None, elapsed_secs }) => {
            say(ReasonCode::Loading, format!("the engine has been loading for {elapsed_secs} s"))
        }
        None => say(ReasonCode::Launching, format!("{n} replica(s) are being launched")),
    }
}

fn started_reason(view: &EndpointView, world: &World, count: &Count) -> Reason {
    let n_wanted = wanted(view);
    if n_wanted == 0 && count.ready == 0 {
        return say(ReasonCode::Asleep, "no replica runs; the first request starts one");
    }
    let (ready, launching) = (count.ready, count.launching);
    if ready >= n_wanted {
        return say(ReasonCode::Ready, format!("{ready} of {n_wanted} replica(s) answer"));
    }
    match shortage(view, world) {
        Some(short) if launching == 0 => {
            let why = shortage_reason(view, &short);
            let message = format!("{ready} of {n_wanted} replica(s) answer: {}", why.message);
            Reason { code: ReasonCode::Degraded, message, next_step: why.next_step }
        }
        Some(_) | None if launching > 0 => say(
            ReasonCode::Scaling,
            format!("{ready} of {n_wanted} replica(s) answer, {launching} are starting"),
        ),
        Some(_) | None => say(ReasonCode::Degraded, format!("{ready} of {n_wanted} replica(s) answer")),
    }
}

fn stopping_reason(view: &EndpointView, count: &Count) -> Reason {
    if view.desired.deleted {
        let left = view.replicas.len();
        return say(ReasonCode::Deleting, format!("being deleted; {left} replica(s) still exist"));
    }
    if count.draining > 0 {
        let message =
            format!("{} request(s) are being finished on {} replica(s)", count.in_flight, count.draining);
        return say(ReasonCode::Draining, message);
    }
    if count.stopping > 0 || count.ready > 0 || count.launching > 0 {
        let left = count.stopping + count.ready + count.launching;
        return say(ReasonCode::Terminating, format!("{left} replica(s) are being ended"));
    }
    say(ReasonCode::Releasing, "processes are gone; their devices' memory is awaited")
}

fn error_reason(view: &EndpointView, world: &World, judged: &Verdict) -> Reason {
    let desired = &view.desired;
    if let Some(fetch @ Fetch::Failed { .. }) = &view.fetch {
        return fetch_reason(view, fetch, world.now);
    }
    let Some(last) = counted(view).next_back() else {
        return say(ReasonCode::Accepted, "waits for the next pass");
    };
    let retry = match judged {
        Verdict::Broken { retry_at: Some(at), .. } | Verdict::BackingOff { retry_at: at, .. } => {
            format!("the next try is in {} s", at.since(world.now).as_secs() + 1)
        }
        Verdict::Broken { retry_at: None, .. } | Verdict::Clean => {
            "it is not tried again by itself".to_owned()
        }
    };
    let n = match judged {
        Verdict::Broken { n_failures, .. } | Verdict::BackingOff { n_failures, .. } => *n_failures,
        Verdict::Clean => 0,
    };
    let detail = if last.detail.is_empty() { String::new() } else { format!(" ({})", last.detail) };
    advise(
        last.cause.into(),
        format!("{} attempt(s) failed, the last because {}{detail}; {retry}", n, last.cause.sentence()),
        next_step(last.cause, desired),
    )
}

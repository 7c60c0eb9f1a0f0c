//! Why an endpoint has no replica yet: a download, a delay, replicas that end, or devices that are short.

use super::count::Count;
use super::explainer::{Words, counted};
use super::say::{advise, say};
use super::{Explainer, Reason, ReasonCode};
use crate::advice::{next_step, where_to_look};
use crate::endpoint::Run;
use crate::failure::{Failure, Verdict, pause};
use crate::fetch::Fetch;
use crate::hardware::{BarCause, DeviceId};
use crate::placement::Shortage;
use crate::plural::{count as counting, is_or_are, so_many_are};
use crate::replica::{FailureCause, Intent};
use crate::time::Timestamp;
use crate::world::{EndpointView, World};

pub(super) fn pending_reason(
    view: &EndpointView,
    words: Words<'_>,
    all: &Explainer<'_>,
    judged: &Verdict,
    count: &Count<'_>,
) -> Reason {
    if let Some(delayed) = delay_reason(view, words, all.world, judged) {
        return delayed;
    }
    let shortage = all.shortage(view.desired.id);
    // What the host has too little of, no replica that ends gives back.
    if let Some(short @ (Shortage::NoSuchHardware { .. } | Shortage::Barred { .. })) = shortage {
        return shortage_reason(view, short, all.world);
    }
    if count.draining + count.stopping + count.gone > 0 {
        let left = u64::from(count.draining + count.stopping + count.gone);
        let (replicas, are) = (counting(left, "replica"), is_or_are(left));
        return say(
            ReasonCode::DrainingPrevious,
            format!("waits until {replicas} of the last run {are} gone"),
        );
    }
    match shortage {
        Some(short) => shortage_reason(view, short, all.world),
        None => say(ReasonCode::Accepted, "accepted; the server is about to look at it"),
    }
}

/// Why nothing is launched now though devices may be free: a model that is not here, or what failed before.
pub(super) fn delay_reason(
    view: &EndpointView,
    words: Words<'_>,
    world: &World,
    judged: &Verdict,
) -> Option<Reason> {
    let desired = &view.desired;
    if let Some(fetch) = words.fetch {
        return Some(fetch_reason(view, fetch, world.now));
    }
    if let (Some(last), Some(n_failures)) = (counted(view).next_back(), judged.n_failures())
        && !judged.allows_launch(world.now)
    {
        let failed = failed(last, n_failures);
        let Some(retry_at) = judged.retry_at() else {
            return Some(advise(
                last.cause.into(),
                format!("{failed}; it is not tried again by itself"),
                next_step(last.cause, desired),
            ));
        };
        let wait = retry_at.since(world.now).as_secs() + 1;
        return Some(advise(
            ReasonCode::BackingOff,
            format!("{failed}; the next one is in {wait} s"),
            where_to_look(
                last.cause,
                &format!("see `dedi endpoints logs {} --attempt {}`", desired.id, last.attempt),
            ),
        ));
    }
    let (until, cause) = paused(view, world)?;
    let wait = until.since(world.now).as_secs() + 1;
    Some(advise(
        ReasonCode::BackingOff,
        format!(
            "its replicas end again and again soon after they start, the last because {}; the next launch is in {wait} s",
            cause.sentence()
        ),
        format!("find what ends them, then `dedi endpoints start {}`", desired.id),
    ))
}

/// Which attempt failed last and why, and the how many-th time that was.
fn failed(last: &Failure, n_failures: u32) -> String {
    let (attempt, cause) = (last.attempt, last.cause.sentence());
    let times = if n_failures > 1 { format!(", {n_failures} times in a row now") } else { String::new() };
    format!("attempt {attempt} failed{times}: {cause}")
}

/// Until when nothing is launched because of ends that are not held against it, and why it last ended.
pub(super) fn paused(view: &EndpointView, world: &World) -> Option<(Timestamp, FailureCause)> {
    let desired = &view.desired;
    let until = pause(desired.id, &view.failures, desired.started_at, &world.settings.backoff)?;
    let last = view.failures.iter().rfind(|it| !it.cause.counts())?;
    (world.now < until).then_some((until, last.cause))
}

pub(super) fn fetch_reason(view: &EndpointView, fetch: &Fetch, now: Timestamp) -> Reason {
    let model = &view.desired.model;
    match fetch {
        Fetch::Queued { n_ahead, bytes_done, bytes_total } => say(
            ReasonCode::Downloading,
            format!(
                "{model} is fetched after {}; the running one has {} of {} MiB",
                counting(*n_ahead, "other download"),
                bytes_done >> 20,
                bytes_total >> 20
            ),
        ),
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
        Fetch::HeldOff { what, until } => say(
            ReasonCode::Downloading,
            format!("{what}; it is asked again in {} s", until.since(now).as_secs().saturating_add(1)),
        ),
        Fetch::CheckQueued { n_ahead, bytes_done, bytes_total } => say(
            ReasonCode::Checking,
            format!(
                "the files of {model} are checked after those of {}, of which {} of {} MiB are read",
                counting(*n_ahead, "other model"),
                bytes_done >> 20,
                bytes_total >> 20
            ),
        ),
        Fetch::Checking { bytes_done, bytes_total, .. } => say(
            ReasonCode::Checking,
            format!(
                "checks that the files of {model} are what they were: {} of {} MiB",
                bytes_done >> 20,
                bytes_total >> 20
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
        Fetch::Absent => advise(
            ReasonCode::ModelAbsent,
            format!(
                "the model store does not have {model}: nothing that can be loaded is in models/{model} of the server's data folder; it goes on by itself when the files are there"
            ),
            format!(
                "mount the disk that they are on, or put them there; `dedi models pull {model}` fetches them"
            ),
        ),
        Fetch::Unreadable { what } => advise(
            ReasonCode::ModelUnreadable,
            format!("{model} can't be loaded now: {what}; it goes on by itself when its files can be read"),
            "look at the disk of the model store and at its files' rights; the server's log says since when",
        ),
    }
}

pub(super) fn shortage_reason(view: &EndpointView, shortage: &Shortage, world: &World) -> Reason {
    let hardware = &view.desired.hardware;
    if let Shortage::Busy { n_free, n_needed } = shortage
        && let Some(leaving) = leaving(view, *n_free, *n_needed, world)
    {
        let needed = counting(u64::from(*n_needed), "free device");
        let free = so_many_are(u64::from(*n_free));
        return say(ReasonCode::NoCapacity, format!("{hardware} needs {needed}, {free} free; {leaving}"));
    }
    match shortage {
        Shortage::NoSuchHardware { n_healthy, n_needed, trouble } => {
            let why = trouble.as_ref().map_or(String::new(), |it| format!("; {it}"));
            advise(
                ReasonCode::HardwareMissing,
                format!(
                    "{hardware} needs {}; this host has {} of that kind{why}",
                    counting(u64::from(*n_needed), "device"),
                    counting(u64::from(*n_healthy), "healthy one")
                ),
                "see `dedi endpoints hardware`",
            )
        }
        Shortage::Barred { n_usable, n_needed, bar } => advise(
            match bar.cause {
                BarCause::EngineLacksGpu => ReasonCode::EngineLacksGpu,
                BarCause::Divided => ReasonCode::HardwareMissing,
            },
            format!(
                "{hardware} needs {}, {} usable: {}",
                counting(u64::from(*n_needed), "device"),
                so_many_are(u64::from(*n_usable)),
                bar.what
            ),
            bar.cure.clone(),
        ),
        Shortage::Busy { n_free, n_needed } => advise(
            ReasonCode::NoCapacity,
            format!(
                "{hardware} needs {}, {} free; it starts when {}",
                counting(u64::from(*n_needed), "free device"),
                so_many_are(u64::from(*n_free)),
                if *n_needed == 1 { "one is" } else { "enough are" }
            ),
            "stop another endpoint or lower its min_replicas; `dedi endpoints hardware` shows who uses what",
        ),
        Shortage::Memory { available_bytes, needed_bytes, is_strangers, user, leftover_bytes } => {
            let by = match (user, is_strangers) {
                (Some(it), true) => format!("; other programs use a free device: {it}"),
                (Some(it), false) => format!("; {it}"),
                (None, true) => "; another program uses a free device".to_owned(),
                (None, false) => String::new(),
            };
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
        Shortage::Turn { n_free, n_needed } => advise(
            ReasonCode::WaitingTurn,
            format!(
                "an endpoint that asked earlier for this kind of device is served first: it needs {}, {}",
                counting(u64::from(*n_needed), "device"),
                match (n_free >= n_needed, n_needed) {
                    (true, 1) => "which is kept for it".to_owned(),
                    (true, _) => "which are kept for it".to_owned(),
                    (false, _) => format!("{} free", so_many_are(u64::from(*n_free))),
                }
            ),
            "`dedi endpoints hardware` shows who uses what",
        ),
    }
}

/// When enough devices become free by themselves, because what holds them is being ended. Whose it is stays unsaid: it
/// may be another tenant's.
fn leaving(view: &EndpointView, n_free: u32, n_needed: u32, world: &World) -> Option<String> {
    let kind = view.desired.hardware.kind_name();
    let is_of_kind =
        |id: &DeviceId| world.inventory.devices.iter().any(|it| it.id == *id && it.kind.is_named(kind));
    let (mut n_leaving, mut finishing) = (0, None);
    for endpoint in &world.endpoints {
        let is_going = endpoint.desired.deleted || endpoint.desired.run == Run::Stopped;
        for row in endpoint.replicas.iter().map(|it| &it.row) {
            let drains_since = match row.intent {
                // The next pass makes it drain.
                Intent::Run if is_going => Some(world.now),
                Intent::Run => continue,
                Intent::Drain { since, .. } => Some(since),
                Intent::Stop { .. } => None,
            };
            let n_held = row.devices.iter().filter(|it| is_of_kind(it)).count();
            n_leaving += n_held;
            if let Some(since) = drains_since.filter(|_| n_held > 0) {
                let left = world.settings.drain_timeout.saturating_sub(world.now.since(since)).as_secs();
                finishing = finishing.max(Some(left));
            }
        }
    }
    let n_leaving = u64::try_from(n_leaving).unwrap_or(u64::MAX);
    if u64::from(n_free) + n_leaving < u64::from(n_needed) {
        return None;
    }
    let held = format!("{} held by what is being deleted or stopped", so_many_are(n_leaving));
    Some(match finishing {
        Some(secs) => format!(
            "{held}: it starts by itself when the requests there are done, for which they have at most {secs} s"
        ),
        None => format!("{held}: it starts by itself when the processes there are gone"),
    })
}

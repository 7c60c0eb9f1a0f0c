//! Who is launched in a pass, in which order, and on which devices.

use super::replica::is_failing;
use super::state::ends_last_run;
use super::{EndpointView, Observation, Seen, World, by_mark, wanted};
use crate::capabilities::PlacedBy;
use crate::failure::{Verdict, pause, verdict};
use crate::hardware::DeviceId;
use crate::ids::EndpointId;
use crate::placement::{Pool, Shortage};
use crate::replica::Intent;

/// Devices for one replica of an endpoint, or why there are none.
type Given = (EndpointId, Result<Vec<DeviceId>, Shortage>);

/// Who would get which devices in this pass, and who would not and why. First those without a replica up to
/// their minimum, then those that only want more; among equals, who was started earlier. Who waits for the next try
/// after a failure keeps its turn: what it would get is given to nobody.
pub(crate) fn launches(endpoints: &[&EndpointView], seen: &Seen<'_>, world: &World) -> Vec<Given> {
    let asked = serve(endpoints, seen, world).into_iter();
    asked.filter(|(_, asks)| !asks.keeps_turn).map(|(given, _)| given).collect()
}

fn serve(endpoints: &[&EndpointView], seen: &Seen<'_>, world: &World) -> Vec<(Given, Asks)> {
    let held = endpoints.iter().flat_map(|it| &it.replicas).flat_map(|it| &it.row.devices);
    let mut pool = Pool::new(&world.inventory, held.chain(&world.quarantine.devices));
    let mut asking: Vec<(&EndpointView, Asks)> = endpoints
        .iter()
        .map(|it| (*it, asks(it, seen, world)))
        .filter(|(_, asks)| asks.n_replicas > 0)
        .collect();
    asking.sort_by_key(|(view, asks)| (asks.has_minimum, view.desired.started_at, view.desired.id));
    let mut given = Vec::new();
    for (view, asks) in asking {
        for _ in 0..asks.n_replicas {
            let (hardware, bytes) = (&view.desired.hardware, view.bytes_per_device.unwrap_or(0));
            let devices = match world.capabilities.placed_by {
                PlacedBy::Runtime => Ok(Vec::new()),
                PlacedBy::Decision if asks.keeps_turn => pool.keep(hardware, bytes),
                PlacedBy::Decision => pool.take(hardware, bytes),
            };
            let is_short = devices.is_err();
            given.push(((view.desired.id, devices), asks));
            if is_short {
                break;
            }
        }
    }
    given
}

/// Whether somebody waits for devices of this kind who is served before an endpoint that asks now.
pub fn has_queue(world: &World, kind_name: &str) -> bool {
    let Observation::Known(observed) = &world.observation else { return false };
    let seen = by_mark(observed);
    let endpoints: Vec<&EndpointView> = world.endpoints.iter().collect();
    let is_of_kind =
        |id| endpoints.iter().any(|it| it.desired.id == id && it.desired.hardware.kind_name() == kind_name);
    serve(&endpoints, &seen, world).into_iter().any(|((id, devices), asks)| {
        let waits = matches!(devices, Err(Shortage::Busy { .. } | Shortage::Turn { .. }));
        waits && !asks.has_minimum && is_of_kind(id)
    })
}

/// What an endpoint asks for in a pass.
#[derive(Clone, Copy, Debug, Default)]
struct Asks {
    n_replicas: u32,
    /// It only wants more than it must have.
    has_minimum: bool,
    /// Nothing of it is launched yet: a failure delays the next try.
    keeps_turn: bool,
}

fn asks(view: &EndpointView, seen: &Seen<'_>, world: &World) -> Asks {
    let desired = &view.desired;
    let judged = verdict(desired.id, &view.failures, desired.started_at, &world.settings.backoff);
    if ends_last_run(view)
        // Nothing can load what is not here yet, and others can use the devices until then.
        || view.fetch.is_some()
        || pause(desired.id, &view.failures, desired.started_at, &world.settings.backoff)
            .is_some_and(|until| world.now < until)
        || view.replicas.iter().any(|it| is_failing(it, seen, world))
    {
        return Asks::default();
    }
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let n_running = count(view.replicas.iter().filter(|it| it.row.intent == Intent::Run).count());
    let room = desired
        .replicas
        .max()
        .saturating_add(world.settings.surge)
        .saturating_sub(count(view.replicas.len()));
    let missing_of = |n: u32| n.saturating_sub(n_running).min(room);
    let minimum = desired.replicas.min().max(1);
    if judged.allows_launch(world.now) {
        let n_replicas = missing_of(wanted(view));
        let has_minimum = wanted(view) - n_replicas >= minimum;
        return Asks { n_replicas, has_minimum, keeps_turn: false };
    }
    match judged {
        Verdict::BackingOff { .. } => {
            let n_replicas = missing_of(wanted(view).min(minimum));
            Asks { n_replicas, has_minimum: false, keeps_turn: true }
        }
        // What waits for minutes or for the user does not hold up others.
        Verdict::Broken { .. } | Verdict::Clean => Asks::default(),
    }
}

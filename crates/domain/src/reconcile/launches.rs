//! Who is launched in a pass, in which order, and on which devices.

use super::replica::is_failing;
use super::state::ends_last_run;
use super::{EndpointView, Observation, Seen, World, by_mark, wanted};
use crate::failure::{pause, verdict};
use crate::hardware::DeviceId;
use crate::ids::EndpointId;
use crate::placement::{Pool, Shortage};
use crate::replica::Intent;

/// Who would get which devices in this pass, and who would not and why. First those without a replica up to
/// their minimum, then those that only want more; among equals, who was started earlier.
pub(crate) fn launches(
    endpoints: &[&EndpointView],
    seen: &Seen<'_>,
    world: &World,
) -> Vec<(EndpointId, Result<Vec<DeviceId>, Shortage>)> {
    let held = endpoints.iter().flat_map(|it| &it.replicas).flat_map(|it| &it.row.devices);
    let mut pool = Pool::new(&world.inventory, held.chain(&world.aside.devices));
    let mut asking: Vec<(&EndpointView, u32)> = endpoints
        .iter()
        .map(|it| (*it, missing(it, seen, world)))
        .filter(|(_, n_missing)| *n_missing > 0)
        .collect();
    asking.sort_by_key(|(view, n_missing)| {
        (has_minimum(view, *n_missing), view.desired.started_at, view.desired.id)
    });
    let mut given = Vec::new();
    for (view, n_missing) in asking {
        for _ in 0..n_missing {
            let devices = pool.take(&view.desired.hardware, view.bytes_per_device.unwrap_or(0));
            let is_short = devices.is_err();
            given.push((view.desired.id, devices));
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
    let is_first = |id| {
        endpoints.iter().any(|it| {
            it.desired.id == id
                && it.desired.hardware.kind_name() == kind_name
                && !has_minimum(it, missing(it, &seen, world))
        })
    };
    launches(&endpoints, &seen, world).into_iter().any(|(id, devices)| {
        matches!(devices, Err(Shortage::Busy { .. } | Shortage::Turn { .. })) && is_first(id)
    })
}

/// Whether an endpoint that lacks so many replicas only wants more than it must have.
fn has_minimum(view: &EndpointView, n_missing: u32) -> bool {
    wanted(view) - n_missing >= view.desired.replicas.min().max(1)
}

/// Replicas that may be launched for an endpoint now.
fn missing(view: &EndpointView, seen: &Seen<'_>, world: &World) -> u32 {
    let desired = &view.desired;
    let judged = verdict(desired.id, &view.failures, desired.started_at, &world.settings.backoff);
    if ends_last_run(view)
        // Nothing can load what is not here yet, and others can use the devices until then.
        || view.fetch.is_some()
        || !judged.allows_launch(world.now)
        || pause(desired.id, &view.failures, desired.started_at, &world.settings.backoff)
            .is_some_and(|until| world.now < until)
        || view.replicas.iter().any(|it| is_failing(it, seen, world))
    {
        return 0;
    }
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let n_running = count(view.replicas.iter().filter(|it| it.row.intent == Intent::Run).count());
    let room = desired
        .replicas
        .max()
        .saturating_add(world.settings.surge)
        .saturating_sub(count(view.replicas.len()));
    wanted(view).saturating_sub(n_running).min(room)
}

//! The running times of replicas, which are billed: recorded while they live and when they end.

use dedi_domain::reconcile::{World, by_mark};
use dedi_domain::usage::{beats, ran_until};
use dedi_domain::{Observation, ReplicaId};

use super::act::find;
use super::environment::Environment;
use crate::store::{Moment, Ready, StoreError};

/// Records how far the replicas have come that this observation shows alive, when that is due.
pub(super) async fn beat(environment: &dyn Environment, world: &World) -> Result<(), StoreError> {
    let due: Vec<(ReplicaId, Moment)> =
        beats(world).into_iter().map(|it| (it.replica, environment.moment(it.until))).collect();
    if due.is_empty() { Ok(()) } else { environment.pass().beat(&due).await }
}

/// Up to when a replica is known to have run whose attempt ends now.
pub(super) fn last_moment(
    environment: &dyn Environment,
    world: &World,
    replica: ReplicaId,
) -> Option<Moment> {
    let Observation::Known(observed) = &world.observation else { return None };
    let row = &find(world, replica)?.1.row;
    let seen = by_mark(observed);
    let phase = seen.get(&(row.id, row.nonce)).map(|it| &it.phase);
    ran_until(row, phase, world.listed_at).map(|it| environment.moment(it))
}

/// What is recorded of a replica that has become ready.
pub(super) fn ready(environment: &dyn Environment, world: &World, replica: ReplicaId) -> Ready {
    let seen = match &world.observation {
        Observation::Known(observed) => observed.iter().find(|it| it.id == replica),
        Observation::Unknown => None,
    };
    let price =
        find(world, replica).map_or(0.0, |(view, _)| environment.price(world, &view.desired.hardware));
    Ready {
        at: environment.moment(environment.now()),
        isolation: seen.and_then(|it| it.isolation),
        cents_per_minute: price,
    }
}

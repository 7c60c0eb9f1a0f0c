use dedi_domain::{EndpointState, FailureCause, Intent, Run};

use super::*;
use crate::store::{Inserted, StoreError};

fn devices(names: &[&str]) -> Vec<DeviceId> {
    names.iter().map(|it| DeviceId::from((*it).to_owned())).collect()
}

pub(crate) async fn a_device_is_held_by_one_replica_at_most(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = desired(2, 2);
    store.insert_endpoint(&new(it.clone()), NOW).await.unwrap();
    let reserve =
        async |names: &[&str]| store.reserve(it.id, it.generation, ids(), &devices(names), 0, NOW).await;
    assert_eq!(reserve(&["a", "b"]).await.unwrap(), 1);
    assert!(matches!(reserve(&["c", "b"]).await, Err(StoreError::Conflict)));
    let rows = store.snapshot().await.unwrap();
    assert_eq!(rows[0].replicas.len(), 1, "the refused reservation left nothing behind");
    assert_eq!(rows[0].replicas[0].devices, devices(&["a", "b"]));
    assert_eq!(reserve(&["c"]).await.unwrap(), 2);
    let replica = rows[0].replicas[0].id;
    assert!(matches!(store.release(replica, None, NOW).await, Err(StoreError::Conflict)), "it still runs");
    store.stop(replica, WHY, None, "being ended", NOW).await.unwrap();
    store.release(replica, None, NOW).await.unwrap();
    assert!(matches!(store.release(replica, None, NOW).await, Err(StoreError::Conflict)), "it is gone");
    assert_eq!(reserve(&["a"]).await.unwrap(), 3);
    // Another node's device of that name is another device.
    assert_eq!(reserve(&["node-1/a"]).await.unwrap(), 4);
    assert!(matches!(reserve(&["node-1/a"]).await, Err(StoreError::Conflict)));
    let rows = store.snapshot().await.unwrap();
    let mut held: Vec<String> =
        rows[0].replicas.iter().flat_map(|it| &it.devices).map(ToString::to_string).collect();
    held.sort();
    assert_eq!(held, ["a", "c", "node-1/a"]);
}

pub(crate) async fn a_reservation_is_of_the_generation_that_was_seen(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = stored(&*store).await;
    let reserve = async |generation| store.reserve(it.id, generation, ids(), &devices(&["a"]), 0, NOW).await;
    assert!(matches!(reserve(2).await, Err(StoreError::Conflict)), "a generation that is not there");
    let after = Desired { run: Run::Stopped, published: EndpointState::Stopping, ..it.clone() };
    let change = Change { after, kind: EventKind::StopRequested, message: String::new() };
    store.update_endpoint(&it, change, &Actor::SERVER, NOW).await.unwrap();
    assert!(matches!(reserve(1).await, Err(StoreError::Conflict)), "it was changed since");
    assert!(matches!(reserve(2).await, Err(StoreError::Conflict)), "it is stopped");
    let other = store.reserve(unnamed().id, 1, ids(), &devices(&["a"]), 0, NOW).await;
    assert!(matches!(other, Err(StoreError::Conflict)), "there is no such endpoint");
    assert!(!store.was_launched(it.id).await.unwrap());
}

pub(crate) async fn an_attempts_number_is_above_all_that_were_logged(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = stored(&*store).await;
    let reserve =
        async |device, logged| store.reserve(it.id, 1, ids(), &devices(&[device]), logged, NOW).await;
    assert_eq!(reserve("a", 7).await.unwrap(), 8);
    assert_eq!(reserve("b", 3).await.unwrap(), 9);
}

pub(crate) async fn an_intent_only_moves_down_and_repeats_change_nothing(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = stored(&*store).await;
    let replica = reserved(&*store, &it, "a").await;
    let intent = async || store.snapshot().await.unwrap()[0].replicas[0].intent;
    assert_eq!(intent().await, Intent::Run);
    for at in [1, 2] {
        store.drain(replica, WHY, later(at)).await.unwrap();
        assert_eq!(intent().await, Intent::Drain { since: later(1), reason: WHY });
    }
    for at in [3, 4] {
        store.stop(replica, WHY, None, "being ended", later(at)).await.unwrap();
        store.drain(replica, WHY, later(at)).await.unwrap();
        assert_eq!(intent().await, Intent::Stop { since: later(3), reason: WHY });
    }
    for at in [5, 6] {
        store.mark_seen(replica).await.unwrap();
        store.mark_gone(replica, later(at)).await.unwrap();
        let row = store.snapshot().await.unwrap()[0].replicas[0].clone();
        assert_eq!((row.seen, row.gone_at), (true, Some(later(5))));
    }
    let kinds: Vec<String> =
        store.events(it.id, 0, 10).await.unwrap().into_iter().map(|it| it.kind).collect();
    assert_eq!(kinds, ["created", "replica_launched", "replica_draining", "replica_stopping"]);
}

pub(crate) async fn the_reason_of_an_end_is_the_first_one(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = stored(&*store).await;
    let replica = reserved(&*store, &it, "a").await;
    let why = EndReason::ScaledDown { from: 3, to: 1 };
    store.drain(replica, why, NOW).await.unwrap();
    store.stop(replica, EndReason::StopRequested, None, "being ended", NOW).await.unwrap();
    let row = store.snapshot().await.unwrap()[0].replicas[0].clone();
    assert_eq!(row.intent, Intent::Stop { since: NOW, reason: why });
    store.release(replica, None, NOW).await.unwrap();
    let said = store.events(it.id, 0, 10).await.unwrap().pop().unwrap().message;
    assert_eq!(said, format!("attempt 1: gone, its devices are free; reason: {}", why.sentence()));
}

pub(crate) async fn a_failure_is_recorded_once_and_not_of_a_stopped_replica(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = stored(&*store).await;
    let one = reserved(&*store, &it, "a").await;
    store.mark_ready(one, &ready(after(1))).await.unwrap();
    store.mark_ready(one, &ready(after(2))).await.unwrap();
    let end = ending(FailureCause::EngineExited);
    store.fail(one, &end, None, later(5)).await.unwrap();
    store.fail(one, &ending(FailureCause::Unresponsive), None, later(6)).await.unwrap();
    let rows = store.rows(it.clone()).await.unwrap();
    let failures: Vec<_> =
        rows.failures.iter().map(|it| (it.cause, it.at, it.ready_for.as_millis())).collect();
    assert_eq!(failures, [(FailureCause::EngineExited, later(5), 4)]);
    assert_eq!(
        rows.replicas[0].intent,
        Intent::Stop { since: later(5), reason: EndReason::Failed { cause: FailureCause::EngineExited } }
    );
    let two = reserved(&*store, &it, "b").await;
    store.stop(two, WHY, None, "being ended", later(7)).await.unwrap();
    store.fail(two, &end, None, later(8)).await.unwrap();
    assert_eq!(store.rows(it).await.unwrap().failures.len(), 1);
}

pub(crate) async fn an_endpoints_state_takes_the_domains_steps_only(factory: &impl Factory) {
    let store = leading(factory).await;
    for from in EndpointState::ALL {
        for to in EndpointState::ALL {
            if from == to {
                continue;
            }
            let it = stored(&*store).await;
            let mut at = EndpointState::Pending;
            while at != from {
                let next = at.step_towards(from);
                store.publish(it.id, at, next, 1, "", NOW).await.unwrap();
                at = next;
            }
            let done = store.publish(it.id, from, to, 1, "", NOW).await;
            assert_eq!(done.is_ok(), from.may_become(to), "{from} -> {to}: {done:?}");
            let shown = if done.is_ok() { to } else { from };
            assert_eq!(row(&*store, it.id).await.published, shown, "{from} -> {to}");
        }
    }
}

pub(crate) async fn what_a_pass_publishes_is_what_it_saw(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = stored(&*store).await;
    let publish = async |from, to, generation, at| store.publish(it.id, from, to, generation, "on", at).await;
    let (pending, starting) = (EndpointState::Pending, EndpointState::Starting);
    assert!(matches!(publish(starting, EndpointState::Started, 1, NOW).await, Err(StoreError::Conflict)));
    assert!(matches!(publish(pending, starting, 2, NOW).await, Err(StoreError::Conflict)));
    publish(pending, pending, 1, later(1)).await.unwrap();
    let seen = row(&*store, it.id).await;
    assert_eq!((seen.observed_generation, seen.published_at), (1, it.published_at), "it shows the same");
    publish(pending, starting, 1, later(2)).await.unwrap();
    let shown = row(&*store, it.id).await;
    assert_eq!((shown.published, shown.published_at), (starting, later(2)));
    let events = store.events(it.id, 0, 10).await.unwrap();
    assert_eq!(events.iter().filter(|it| it.kind == "state_changed").count(), 1);
}

pub(crate) async fn an_idle_stop_is_of_the_generation_that_was_seen(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = Desired { inactive_timeout_minutes: Some(5), ..unnamed() };
    store.insert_endpoint(&new(it.clone()), NOW).await.unwrap();
    assert!(matches!(store.stop_idle(it.id, 2, NOW).await, Err(StoreError::Conflict)));
    store.stop_idle(it.id, 1, NOW).await.unwrap();
    let stopped = row(&*store, it.id).await;
    assert_eq!((stopped.run, stopped.generation), (Run::Stopped, 2));
    assert_eq!(stopped.idle.stopped.map(|it| it.minutes), Some(5));
    assert!(matches!(store.stop_idle(it.id, 2, NOW).await, Err(StoreError::Conflict)), "it is stopped");
}

pub(crate) async fn an_erased_endpoint_never_comes_back(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = stored(&*store).await;
    let replica = reserved(&*store, &it, "a").await;
    assert!(matches!(store.erase(it.id, NOW).await, Err(StoreError::Conflict)), "it is not deleted");
    delete(&*store, it.id).await;
    assert!(matches!(store.erase(it.id, NOW).await, Err(StoreError::Conflict)), "it has a replica");
    assert!(!store.is_erased(it.id).await.unwrap());
    store.stop(replica, WHY, None, "being ended", NOW).await.unwrap();
    store.release(replica, None, NOW).await.unwrap();
    store.erase(it.id, NOW).await.unwrap();
    assert!(store.is_erased(it.id).await.unwrap());
    assert!(store.snapshot().await.unwrap().is_empty());
    assert!(store.attempts(it.id).await.unwrap().is_empty());
    let again = Desired { name: unnamed().name, ..it.clone() };
    assert!(store.insert_endpoint(&new(again), NOW).await.is_err(), "an erased id came back");
    let namesake = Desired { id: unnamed().id, ..it };
    assert!(store.insert_endpoint(&new(namesake), NOW).await.is_err(), "an erased name came back");
    assert_eq!(store.insert_endpoint(&new(unnamed()), NOW).await.unwrap(), Inserted::New);
}

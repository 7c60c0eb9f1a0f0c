use dedi_domain::time::Timeline;
use dedi_domain::{EndpointState, FailureCause};

use super::*;
use crate::store::{EndpointKey, Epoch, StoreError};

/// How each write of a pass ends.
async fn pass_writes(store: &dyn Store, of: &Desired, replica: ReplicaId) -> Vec<Result<(), StoreError>> {
    let reserved = store.reserve(of.id, 1, ids(), &[DeviceId::local("z")], 0, NOW).await.map(|_| ());
    let end = ending(FailureCause::EngineExited);
    vec![
        reserved,
        store.mark_seen(replica).await,
        store.mark_ready(replica, &ready(after(0))).await,
        store.beat(&[(replica, after(1))]).await,
        store.drain(replica, WHY, NOW).await,
        store.fail(replica, &end, None, NOW).await,
        store.stop(replica, WHY, None, "being ended", NOW).await,
        store.mark_gone(replica, NOW).await,
        store.release(replica, None, NOW).await,
        store.publish(of.id, EndpointState::Pending, EndpointState::Starting, 1, "", NOW).await,
        store.stop_idle(of.id, 1, NOW).await,
        store.erase(of.id, NOW).await,
    ]
}

fn all_fenced(done: &[Result<(), StoreError>]) {
    for (n, it) in done.iter().enumerate() {
        assert!(matches!(it, Err(StoreError::Fenced)), "write {n}: {it:?}");
    }
}

pub(crate) async fn a_handle_that_never_led_records_no_pass(factory: &impl Factory) {
    let leader = leading(factory).await;
    let it = stored(&*leader).await;
    let replica = reserved(&*leader, &it, "a").await;
    let before = leader.snapshot().await.unwrap();
    let other = factory.open().await;
    all_fenced(&pass_writes(&*other, &it, replica).await);
    assert_eq!(leader.snapshot().await.unwrap(), before);
    leader.mark_seen(replica).await.unwrap();
}

pub(crate) async fn a_second_leader_fences_the_first_for_every_write_of_a_pass(factory: &impl Factory) {
    let first = leading(factory).await;
    let it = stored(&*first).await;
    let replica = reserved(&*first, &it, "a").await;
    let second = factory.open().await;
    assert_eq!(second.lead().await.unwrap(), Epoch(2));
    let before = second.snapshot().await.unwrap();
    let events = second.events(it.id, 0, 100).await.unwrap();
    all_fenced(&pass_writes(&*first, &it, replica).await);
    assert_eq!(second.snapshot().await.unwrap(), before);
    assert_eq!(second.events(it.id, 0, 100).await.unwrap(), events);
    second.mark_seen(replica).await.unwrap();
    assert_eq!(first.lead().await.unwrap(), Epoch(3));
    first.drain(replica, WHY, NOW).await.unwrap();
    assert!(matches!(second.drain(replica, WHY, NOW).await, Err(StoreError::Fenced)));
}

pub(crate) async fn what_requests_write_needs_no_lead(factory: &impl Factory) {
    let leader = leading(factory).await;
    let other = factory.open().await;
    let it = stored(&*other).await;
    delete(&*other, it.id).await;
    other.note(it.id, EventKind::SetAside, "said", NOW).await.unwrap();
    let (key, hash) = key("other", Role::Viewer, 2);
    other.insert_key(&key, hash, &entry(&key)).await.unwrap();
    assert!(row(&*leader, it.id).await.deleted);
}

pub(crate) async fn a_paused_store_writes_nothing_until_it_is_resumed(factory: &impl Factory) {
    let store = leading(factory).await;
    store.pause().await.unwrap();
    let it = new(unnamed());
    let refused = store.insert_endpoint(&it, NOW).await.unwrap_err();
    assert!(matches!(refused, StoreError::Paused), "{refused}");
    assert!(store.key_table(&Timeline::default()).await.is_ok(), "reading goes on");
    let successor = factory.open().await;
    successor.lead().await.unwrap();
    let theirs = stored(&*successor).await;
    store.resume().await.unwrap();
    store.insert_endpoint(&it, NOW).await.unwrap();
    store.endpoint(&theirs.owner, &EndpointKey::Id(theirs.id)).await.unwrap();
    let device = [DeviceId::local("a")];
    let refused = store.reserve(theirs.id, 1, ids(), &device, 0, NOW).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "the lead is to be taken again: {refused:?}");
    store.lead().await.unwrap();
    store.reserve(theirs.id, 1, ids(), &device, 0, NOW).await.unwrap();
}

pub(crate) async fn a_closed_store_answers_nothing(factory: &impl Factory) {
    let store = leading(factory).await;
    store.close().await;
    store.close().await;
    assert!(matches!(store.snapshot().await, Err(StoreError::Closed)));
    let done = store.insert_endpoint(&new(unnamed()), NOW).await;
    assert!(matches!(done, Err(StoreError::Closed)), "{done:?}");
    assert!(factory.open().await.snapshot().await.unwrap().is_empty(), "what it kept is there");
}

use dedi_domain::{Desired, EndpointState, FailureCause, Run};

use super::*;
use crate::store::{EndpointKey, Inserted, Page, StoreError};

pub(crate) async fn what_was_stored_is_found_by_id_and_name_also_after_a_reopen(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = desired(0, 3);
    assert_eq!(store.insert_endpoint(&new(it.clone()), NOW).await.unwrap(), Inserted::New);
    let installation = store.installation();
    drop(store);
    let again = factory.open().await;
    assert_eq!(again.snapshot().await.unwrap()[0].desired, it);
    for key in [EndpointKey::Id(it.id), EndpointKey::Name(it.name.clone())] {
        assert_eq!(again.endpoint(&it.owner, &key).await.unwrap(), it);
    }
    assert_eq!(again.installation(), installation);
    assert_eq!(again.key_table(&dedi_domain::time::Timeline::default()).await.unwrap().len(), 1);
    let namesake = Desired { id: unnamed().id, ..it };
    assert!(again.insert_endpoint(&new(namesake), NOW).await.is_err(), "a name is given once");
}

pub(crate) async fn another_tenants_endpoint_is_not_there(factory: &impl Factory) {
    let store = leading(factory).await;
    let (key, hash) = key("other", Role::Owner, 2);
    store.insert_key(&key, hash, &entry(&key)).await.unwrap();
    let it = stored(&*store).await;
    let other = owner("other");
    let found = store.endpoint(&other, &EndpointKey::Id(it.id)).await;
    assert!(matches!(found, Err(StoreError::NotFound)), "{found:?}");
    assert!(store.endpoints(&other).await.unwrap().is_empty());
    let theirs = Desired { owner: other, ..it.clone() };
    let change = Change { after: theirs.clone(), kind: EventKind::Updated, message: String::new() };
    let done = store.update_endpoint(&theirs, change, &Actor::SERVER, NOW).await;
    assert!(matches!(done, Err(StoreError::Conflict)), "{done:?}");
}

pub(crate) async fn a_list_is_newest_first_without_what_was_deleted(factory: &impl Factory) {
    let store = leading(factory).await;
    let mut made = Vec::new();
    for n in 0..3 {
        let it = Desired { created_at: later(n), ..unnamed() };
        store.insert_endpoint(&new(it.clone()), NOW).await.unwrap();
        made.push(it.id);
    }
    delete(&*store, made[1]).await;
    let listed = store.endpoints(&owner("team")).await.unwrap();
    assert_eq!(listed.iter().map(|it| it.id).collect::<Vec<_>>(), [made[2], made[0]]);
    let gone = store.endpoint(&owner("team"), &EndpointKey::Id(made[1])).await;
    assert!(matches!(gone, Err(StoreError::NotFound)), "{gone:?}");
    assert_eq!(store.snapshot().await.unwrap().len(), 3, "a pass still sees it");
}

pub(crate) async fn a_quota_counts_what_is_not_deleted(factory: &impl Factory) {
    let store = leading(factory).await;
    let first = stored(&*store).await;
    let second = NewEndpoint { quota: 1, ..new(unnamed()) };
    assert_eq!(store.insert_endpoint(&second, NOW).await.unwrap(), Inserted::QuotaFull);
    assert_eq!(store.snapshot().await.unwrap().len(), 1);
    delete(&*store, first.id).await;
    assert_eq!(store.insert_endpoint(&second, NOW).await.unwrap(), Inserted::New);
}

pub(crate) async fn an_update_is_refused_when_the_row_has_moved_on(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = stored(&*store).await;
    let named = |before: &Desired, name: &str| {
        let after = Desired { display_name: name.to_owned(), ..before.clone() };
        Change { after, kind: EventKind::Updated, message: format!("named {name}") }
    };
    let update = async |before: &Desired, name: &str| {
        store.update_endpoint(before, named(before, name), &Actor::SERVER, NOW).await
    };
    let first = update(&it, "first").await.unwrap();
    assert_eq!((first.generation, first.display_name.as_str()), (2, "first"));
    assert!(matches!(update(&it, "late").await, Err(StoreError::Conflict)), "another generation");
    store.publish(it.id, EndpointState::Pending, EndpointState::Starting, 2, "", NOW).await.unwrap();
    assert!(matches!(update(&first, "late").await, Err(StoreError::Conflict)), "another state is shown");
    assert_eq!(row(&*store, it.id).await.published, EndpointState::Starting, "which stays");
    let before = row(&*store, it.id).await;
    delete(&*store, it.id).await;
    assert!(matches!(update(&before, "late").await, Err(StoreError::Conflict)));
    let deleted = row(&*store, it.id).await;
    assert!(matches!(update(&deleted, "late").await, Err(StoreError::Conflict)), "it is deleted");
    let said: Vec<String> =
        store.events(it.id, 0, 10).await.unwrap().into_iter().map(|it| it.message).collect();
    assert!(!said.iter().any(|it| it.contains("late")), "{said:?}");
}

pub(crate) async fn an_update_is_one_with_its_event_and_audit_entry(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = stored(&*store).await;
    let after = Desired { run: Run::Stopped, published: EndpointState::Stopping, ..it.clone() };
    let change = Change { after, kind: EventKind::StopRequested, message: "told to stop".to_owned() };
    let done = store.update_endpoint(&it, change, &Actor::SERVER, later(1)).await.unwrap();
    assert_eq!(row(&*store, it.id).await, done);
    let events = store.events(it.id, 0, 10).await.unwrap();
    let last = events.last().unwrap();
    assert_eq!(
        (last.kind.as_str(), last.message.as_str(), last.at),
        ("stop_requested", "told to stop", later(1))
    );
    let audit = store.audit(Some(&it.owner), Page::Newest, 1).await.unwrap();
    assert_eq!((audit[0].action.as_str(), &audit[0].object), ("endpoint.stop", &it.id.to_string()));
}

pub(crate) async fn a_start_is_later_than_every_failure_before_it(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = stored(&*store).await;
    let replica = reserved(&*store, &it, "a").await;
    store.fail(replica, &ending(FailureCause::EngineExited), None, later(7)).await.unwrap();
    let failures = async || store.rows(it.clone()).await.unwrap().failures.len();
    assert_eq!(failures().await, 1);
    let before = row(&*store, it.id).await;
    let after = Desired { started_at: later(7), ..before.clone() };
    let change = Change { after, kind: EventKind::StartRequested, message: String::new() };
    store.update_endpoint(&before, change, &Actor::SERVER, later(7)).await.unwrap();
    assert_eq!(row(&*store, it.id).await.started_at, later(8), "not in the same millisecond");
    assert_eq!(failures().await, 0);
}

use super::*;
use crate::store::{Idempotency, Inserted};

const OURS: &str = "\u{1}mark";

fn known_by(key: &str, body: u8, is_ours: bool) -> Idempotency {
    Idempotency { key: key.to_owned(), body_hash: [body; 32], since: Timestamp(0), is_ours, instead_of: None }
}

async fn create(store: &dyn Store, by: Idempotency, now: Timestamp) -> (Inserted, EndpointId) {
    let it = NewEndpoint { idempotency: Some(by), ..new(unnamed()) };
    (store.insert_endpoint(&it, now).await.unwrap(), it.desired.id)
}

pub(crate) async fn a_clients_key_leads_to_what_it_made_before(factory: &impl Factory) {
    let store = leading(factory).await;
    let (made, first) = create(&*store, known_by("k", 1, false), NOW).await;
    assert_eq!(made, Inserted::New);
    assert_eq!(create(&*store, known_by("k", 1, false), NOW).await.0, Inserted::Before(first));
    assert_eq!(create(&*store, known_by("k", 2, false), NOW).await.0, Inserted::OtherBody);
    assert_eq!(create(&*store, known_by("other", 1, false), NOW).await.0, Inserted::New);
    let not_ours = Idempotency { instead_of: Some(first), ..known_by("k", 1, false) };
    assert_eq!(create(&*store, not_ours, NOW).await.0, Inserted::Before(first), "that is for our marks");
    delete(&*store, first).await;
    assert_eq!(create(&*store, known_by("k", 1, false), NOW).await.0, Inserted::Before(first));
}

pub(crate) async fn a_mark_of_ours_leads_to_another_endpoint_where_that_is_meant(factory: &impl Factory) {
    let store = leading(factory).await;
    let (_, first) = create(&*store, known_by(OURS, 1, true), NOW).await;
    assert_eq!(create(&*store, known_by(OURS, 1, true), NOW).await.0, Inserted::Before(first));
    let instead = Idempotency { instead_of: Some(first), ..known_by(OURS, 1, true) };
    let (made, second) = create(&*store, instead.clone(), NOW).await;
    assert_eq!(made, Inserted::New);
    assert_eq!(create(&*store, instead, NOW).await.0, Inserted::Before(second), "one came between");
    delete(&*store, second).await;
    assert_eq!(create(&*store, known_by(OURS, 1, true), NOW).await.0, Inserted::New, "its endpoint is gone");
}

pub(crate) async fn an_answer_that_is_too_old_does_not_count(factory: &impl Factory) {
    let store = leading(factory).await;
    let (_, first) = create(&*store, known_by("k", 1, false), NOW).await;
    let since = |ms| Idempotency { since: later(ms), ..known_by("k", 1, false) };
    assert_eq!(create(&*store, since(0), later(5)).await.0, Inserted::Before(first));
    let (made, second) = create(&*store, since(1), later(5)).await;
    assert_eq!(made, Inserted::New);
    assert_eq!(create(&*store, since(1), later(6)).await.0, Inserted::Before(second));
}

//! What every store must keep, as tests of any of them. A new one says how it is made ([`Factory`]) and runs them all with
//! [`conformance!`]; nothing outside of its own folder changes.

pub(crate) mod audit;
pub(crate) mod clock;
pub(crate) mod endpoints;
pub(crate) mod events;
pub(crate) mod keys;
pub(crate) mod launches;
pub(crate) mod leadership;
pub(crate) mod models;
pub(crate) mod pass;
pub(crate) mod repeats;
pub(crate) mod usage;

use std::sync::Arc;

use async_trait::async_trait;
use dedi_domain::keys::KeyText;
use dedi_domain::{
    Desired, DeviceId, EndReason, EndpointId, EndpointName, EndpointState, FailureCause, Nonce, Owner,
    ReplicaId, Role, Scope, Timestamp,
};
use uuid::Uuid;

use super::{
    Actor, AuditAction, AuditEntry, Change, Ending, EventKind, Moment, NewEndpoint, Ready, Store, StoredKey,
};
use crate::reconciler::tests::desired;

/// Makes stores of one kind.
#[async_trait]
pub(crate) trait Factory: Send + Sync {
    /// A place for a store, with nothing in it.
    fn new() -> Self;

    /// A handle to what is there, as a server has it that has just started.
    async fn open(&self) -> Arc<dyn Store>;
}

/// Runs every test for the stores of a factory.
macro_rules! conformance {
    ($factory:ident) => {
        $crate::store::conformance::cases! { $factory;
            endpoints: [
                what_was_stored_is_found_by_id_and_name_also_after_a_reopen,
                another_tenants_endpoint_is_not_there,
                a_list_is_newest_first_without_what_was_deleted,
                a_quota_counts_what_is_not_deleted,
                an_update_is_refused_when_the_row_has_moved_on,
                an_update_is_one_with_its_event_and_audit_entry,
                a_start_is_later_than_every_failure_before_it,
            ]
            repeats: [
                a_clients_key_leads_to_what_it_made_before,
                a_mark_of_ours_leads_to_another_endpoint_where_that_is_meant,
                an_answer_that_is_too_old_does_not_count,
            ]
            pass: [
                a_device_is_held_by_one_replica_at_most,
                a_reservation_is_of_the_generation_that_was_seen,
                an_attempts_number_is_above_all_that_were_logged,
                an_intent_only_moves_down_and_repeats_change_nothing,
                the_reason_of_an_end_is_the_first_one,
                a_failure_is_recorded_once_and_not_of_a_stopped_replica,
                an_endpoints_state_takes_the_domains_steps_only,
                what_a_pass_publishes_is_what_it_saw,
                an_idle_stop_is_of_the_generation_that_was_seen,
                an_erased_endpoint_never_comes_back,
            ]
            leadership: [
                a_handle_that_never_led_records_no_pass,
                a_second_leader_fences_the_first_for_every_write_of_a_pass,
                what_requests_write_needs_no_lead,
                a_paused_store_writes_nothing_until_it_is_resumed,
                a_closed_store_answers_nothing,
            ]
            launches: [
                launches_are_newest_first_and_end_with_their_replica,
                launches_name_the_engine_of_their_endpoint,
                failures_count_since_the_start_and_since_it_last_worked,
                the_usual_start_is_the_median_of_the_last_ones,
            ]
            usage: [
                a_running_time_follows_its_beats_and_ends_once,
                an_end_that_is_not_known_adds_nothing_and_an_early_one_takes_nothing,
                what_was_recorded_before_a_crash_goes_on_after_it,
                a_clock_that_was_set_adds_and_takes_nothing,
                only_what_has_ended_is_forgotten,
                usage_outlives_its_endpoint,
            ]
            keys: [
                a_key_is_found_until_it_is_revoked,
                a_tenant_reaches_its_own_keys_only,
                the_last_admin_key_that_lives_stays,
                the_last_use_of_a_key_only_moves_on,
            ]
            events: [
                events_are_in_order_and_found_after_one,
                old_events_are_forgotten,
            ]
            audit: [
                audit_entries_are_of_their_tenant_and_cut_to_their_length,
                a_page_of_the_audit_log_is_oldest_first,
            ]
            models: [
                holders_are_added_shared_and_removed,
                a_claim_is_kept_or_dropped_with_its_hold,
                a_pin_is_written_once_and_goes_with_its_endpoint,
                a_changed_model_is_told_once,
            ]
            clock: [
                clock_spans_are_kept_by_their_beginning,
                the_newest_stamp_is_of_the_last_write,
            ]
        }
    };
}

macro_rules! cases {
    ($factory:ident; $($topic:ident: [$($case:ident,)*])*) => {
        $(mod $topic {
            $(#[tokio::test]
            async fn $case() {
                $crate::store::conformance::$topic::$case(&<super::$factory as $crate::store::conformance::Factory>::new()).await;
            })*
        })*
    };
}

pub(crate) use {cases, conformance};

pub(crate) const NOW: Timestamp = Timestamp(1_000_000);

/// Why replicas are ended where that is not the point.
pub(crate) const WHY: EndReason = EndReason::StopRequested;

/// So long after [`NOW`].
pub(crate) fn later(ms: i64) -> Timestamp {
    Timestamp(NOW.0 + ms)
}

/// So long after [`NOW`], by both clocks.
pub(crate) fn after(ms: i64) -> Moment {
    both(ms, ms)
}

pub(crate) fn both(clock_ms: i64, uptime_ms: i64) -> Moment {
    Moment { at: later(clock_ms), uptime_ms: 5_000 + uptime_ms }
}

/// A handle that leads, to a store with the tenant `team` and its admin key.
pub(crate) async fn leading(factory: &impl Factory) -> Arc<dyn Store> {
    let store = factory.open().await;
    let (key, hash) = key("team", Role::Admin, 1);
    store.insert_key(&key, hash, &entry(&key)).await.unwrap();
    store.lead().await.unwrap();
    store
}

pub(crate) fn owner(name: &str) -> Owner {
    Owner::parse(name).unwrap()
}

/// A key from these digits.
pub(crate) fn key(owner_name: &str, role: Role, digit: u8) -> (StoredKey, [u8; 32]) {
    let text = KeyText::from_random(&[digit; 53]);
    let key = StoredKey {
        id: text.id(),
        name: String::new(),
        owner: owner(owner_name),
        role,
        created_at: NOW,
        expires_at: None,
        scope: Scope::default(),
        last_used_at: None,
    };
    (key, text.hash())
}

pub(crate) fn entry(key: &StoredKey) -> AuditEntry {
    AuditEntry {
        owner: Some(key.owner.clone()),
        by: Actor::SERVER,
        action: AuditAction::KeyCreate,
        object: key.id.to_string(),
        message: String::new(),
    }
}

pub(crate) fn new(desired: Desired) -> NewEndpoint {
    NewEndpoint { desired, idempotency: None, quota: 1_000, pin: None, by: Actor::SERVER }
}

/// An endpoint of `team` under a name of its own.
pub(crate) fn unnamed() -> Desired {
    let id = Uuid::new_v4();
    let name = EndpointName::parse(&format!("team/m-{:08x}", id.as_fields().0)).unwrap();
    Desired { id: EndpointId::from_uuid(id), name, ..desired(1, 1) }
}

/// The same in the store.
pub(crate) async fn stored(store: &dyn Store) -> Desired {
    let it = unnamed();
    store.insert_endpoint(&new(it.clone()), NOW).await.unwrap();
    it
}

pub(crate) fn ids() -> (ReplicaId, Nonce) {
    (ReplicaId::from_uuid(Uuid::new_v4()), Nonce::from_uuid(Uuid::new_v4()))
}

/// A replica of an endpoint on one device.
pub(crate) async fn reserved(store: &dyn Store, of: &Desired, device: &str) -> ReplicaId {
    let ids = ids();
    store.reserve(of.id, of.generation, ids, &[DeviceId::local(device)], 0, NOW).await.unwrap();
    ids.0
}

pub(crate) fn ready(at: Moment) -> Ready {
    Ready { at, isolation: None, cents_per_minute: 6.0 }
}

pub(crate) fn ending(cause: FailureCause) -> Ending {
    Ending { cause, code: Some(1), signal: None, detail: String::new(), log_tail: "cannot go on".to_owned() }
}

/// The row as it is now.
pub(crate) async fn row(store: &dyn Store, id: EndpointId) -> Desired {
    let rows = store.snapshot().await.unwrap();
    rows.into_iter().map(|it| it.desired).find(|it| it.id == id).unwrap()
}

/// Has a request delete an endpoint.
pub(crate) async fn delete(store: &dyn Store, id: EndpointId) -> Desired {
    let before = row(store, id).await;
    let after = Desired { deleted: true, published: EndpointState::Stopping, ..before.clone() };
    let change = Change { after, kind: EventKind::DeleteRequested, message: "deletion requested".to_owned() };
    store.update_endpoint(&before, change, &Actor::SERVER, NOW).await.unwrap()
}

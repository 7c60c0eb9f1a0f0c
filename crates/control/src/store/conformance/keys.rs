use dedi_domain::time::Timeline;

use super::*;
use crate::store::{Judged, Page, StoreError};

async fn revoke(
    store: &dyn Store,
    of: Option<&Owner>,
    key: &StoredKey,
    now: Timestamp,
) -> Result<(), StoreError> {
    let times = Timeline::default();
    let said = AuditEntry { owner: None, action: AuditAction::KeyRevoke, ..entry(key) };
    store.revoke_key(of, &key.id, said, now, Judged { times: &times, now }).await
}

async fn made(store: &dyn Store, of: &str, role: Role, digit: u8) -> StoredKey {
    let (key, hash) = key(of, role, digit);
    store.insert_key(&key, hash, &entry(&key)).await.unwrap();
    key
}

pub(crate) async fn a_key_is_found_until_it_is_revoked(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = made(&*store, "team", Role::Viewer, 2).await;
    let listed = store.keys(None).await.unwrap();
    assert!(listed.len() == 2 && listed.contains(&it), "{listed:?}");
    assert_eq!(store.key_table(&Timeline::default()).await.unwrap().len(), 2);
    revoke(&*store, None, &it, NOW).await.unwrap();
    assert!(!store.keys(None).await.unwrap().contains(&it));
    assert_eq!(store.key_table(&Timeline::default()).await.unwrap().len(), 1);
    let again = revoke(&*store, None, &it, NOW).await;
    assert!(matches!(again, Err(StoreError::NotFound)), "{again:?}");
    let audit = store.audit(Some(&it.owner), Page::Newest, 1).await.unwrap();
    assert_eq!((audit[0].action.as_str(), &audit[0].object), ("key.revoke", &it.id.to_string()));
    let (same, hash) = key("team", Role::Viewer, 2);
    assert!(store.insert_key(&same, hash, &entry(&same)).await.is_err(), "an id is given once");
}

pub(crate) async fn a_tenant_reaches_its_own_keys_only(factory: &impl Factory) {
    let store = leading(factory).await;
    let theirs = made(&*store, "other", Role::Owner, 2).await;
    let (team, other) = (owner("team"), owner("other"));
    assert_eq!(store.keys(Some(&other)).await.unwrap(), vec![theirs.clone()]);
    let done = revoke(&*store, Some(&team), &theirs, NOW).await;
    assert!(matches!(done, Err(StoreError::NotFound)), "{done:?}");
    revoke(&*store, Some(&other), &theirs, NOW).await.unwrap();
}

pub(crate) async fn the_last_admin_key_that_lives_stays(factory: &impl Factory) {
    let store = leading(factory).await;
    let first = store.keys(None).await.unwrap().remove(0);
    let refused = revoke(&*store, None, &first, NOW).await;
    assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    let (short, hash) = key("team", Role::Admin, 3);
    let short = StoredKey { expires_at: Some(later(10)), ..short };
    store.insert_key(&short, hash, &entry(&short)).await.unwrap();
    let refused = revoke(&*store, None, &first, later(10)).await;
    assert!(matches!(refused, Err(StoreError::Conflict)), "the other has expired: {refused:?}");
    revoke(&*store, None, &first, later(9)).await.unwrap();
}

pub(crate) async fn the_last_use_of_a_key_only_moves_on(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = store.keys(None).await.unwrap().remove(0);
    for (at, kept) in [(20, 20), (10, 20), (30, 30)] {
        let used = [(it.id.clone(), later(at)), (dedi_domain::KeyId("nobody".to_owned()), NOW)].into();
        store.keys_used(&used).await.unwrap();
        assert_eq!(store.keys(None).await.unwrap()[0].last_used_at, Some(later(kept)));
    }
}

use super::*;
use crate::store::{AUDIT_TEXT_CHARS_MAX, Page};

fn said(of: Option<&str>, message: &str) -> AuditEntry {
    AuditEntry {
        owner: of.map(owner),
        by: Actor::SERVER,
        action: AuditAction::Backup,
        object: "o".to_owned(),
        message: message.to_owned(),
    }
}

pub(crate) async fn audit_entries_are_of_their_tenant_and_cut_to_their_length(factory: &impl Factory) {
    let store = factory.open().await;
    let long = "é".repeat(AUDIT_TEXT_CHARS_MAX + 1);
    for (of, message) in
        [(None, "host"), (Some("team"), "one"), (Some("other"), "two"), (Some("team"), &long)]
    {
        store.add_audit(&said(of, message), NOW).await.unwrap();
    }
    let all = store.audit(None, Page::After(0), 10).await.unwrap();
    assert_eq!(all.len(), 4);
    assert_eq!(
        (all[0].owner.as_deref(), all[0].key.as_deref(), all[0].by_owner.as_deref()),
        (None, None, None)
    );
    let team = store.audit(Some(&owner("team")), Page::After(0), 10).await.unwrap();
    assert_eq!(team.iter().map(|it| it.id).collect::<Vec<_>>(), [all[1].id, all[3].id]);
    assert_eq!(team[1].message.chars().count(), AUDIT_TEXT_CHARS_MAX);
}

pub(crate) async fn a_page_of_the_audit_log_is_oldest_first(factory: &impl Factory) {
    let store = factory.open().await;
    for n in 0..5 {
        store.add_audit(&said(None, &format!("{n}")), later(n)).await.unwrap();
    }
    let page = async |page, limit| -> Vec<String> {
        let all = store.audit(None, page, limit).await.unwrap();
        all.into_iter().map(|it| it.message).collect()
    };
    let first = store.audit(None, Page::After(0), 1).await.unwrap()[0].id;
    assert_eq!(page(Page::After(first), 2).await, ["1", "2"]);
    assert_eq!(page(Page::Newest, 2).await, ["3", "4"]);
    assert_eq!(store.forget_audit(later(3)).await.unwrap(), 3);
    assert_eq!(page(Page::After(0), 10).await, ["3", "4"]);
    store.add_audit(&said(None, "5"), later(6)).await.unwrap();
    assert_eq!(page(Page::Newest, 1).await, ["5"]);
}

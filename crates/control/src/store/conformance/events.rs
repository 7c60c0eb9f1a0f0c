use super::*;

pub(crate) async fn events_are_in_order_and_found_after_one(factory: &impl Factory) {
    let store = leading(factory).await;
    let (it, other) = (stored(&*store).await, stored(&*store).await);
    for n in 1..=4 {
        store.note(it.id, EventKind::SetAside, &format!("{n}"), later(n)).await.unwrap();
        store.note(other.id, EventKind::SetAside, "other", later(n)).await.unwrap();
    }
    let said = async |after, limit| -> Vec<(String, Timestamp)> {
        let all = store.events(it.id, after, limit).await.unwrap();
        all.into_iter().map(|it| (it.message, it.at)).collect()
    };
    let first = store.events(it.id, 0, 2).await.unwrap();
    assert_eq!((first.len(), first[0].kind.as_str(), first[1].message.as_str()), (2, "created", "1"));
    let rest = [("2".to_owned(), later(2)), ("3".to_owned(), later(3)), ("4".to_owned(), later(4))];
    assert_eq!(said(first[1].id, 100).await, rest);
    assert_eq!(said(first[1].id, 1).await, rest[..1]);
}

pub(crate) async fn old_events_are_forgotten(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = stored(&*store).await;
    store.note(it.id, EventKind::SetAside, "young", later(10)).await.unwrap();
    assert_eq!(store.forget_events(NOW).await.unwrap(), 0);
    assert_eq!(store.forget_events(later(10)).await.unwrap(), 1);
    let kept = store.events(it.id, 0, 10).await.unwrap();
    assert!(kept.len() == 1 && kept[0].message == "young", "{kept:?}");
    store.note(it.id, EventKind::SetAside, "next", later(11)).await.unwrap();
    let next = store.events(it.id, kept[0].id, 10).await.unwrap();
    assert!(next.len() == 1 && next[0].id > kept[0].id, "{next:?}");
}

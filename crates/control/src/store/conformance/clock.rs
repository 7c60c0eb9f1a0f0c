use dedi_domain::time::Span;

use super::*;

pub(crate) async fn clock_spans_are_kept_by_their_beginning(factory: &impl Factory) {
    let store = factory.open().await;
    let span = |at, offset_ms| Span { begins_at: Timestamp(at), offset_ms };
    for it in [span(20, 1), span(10, 2), span(20, 3)] {
        store.write_clock_span(it).await.unwrap();
    }
    assert_eq!(store.clock_spans().await.unwrap(), [span(10, 2), span(20, 3)]);
}

pub(crate) async fn the_newest_stamp_is_of_the_last_write(factory: &impl Factory) {
    let store = factory.open().await;
    assert_eq!(store.newest_stamp().await.unwrap(), Timestamp::default());
    let store = leading(factory).await;
    assert_eq!(store.newest_stamp().await.unwrap(), NOW, "the audit log's");
    let it = stored(&*store).await;
    store.note(it.id, EventKind::SetAside, "", later(5)).await.unwrap();
    assert_eq!(store.newest_stamp().await.unwrap(), later(5));
    let replica = reserved(&*store, &it, "a").await;
    store.mark_ready(replica, &ready(after(6))).await.unwrap();
    store.beat(&[(replica, after(9))]).await.unwrap();
    assert_eq!(store.newest_stamp().await.unwrap(), later(9), "running times have no event");
}

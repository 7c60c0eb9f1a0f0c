use std::time::Duration;

use dedi_domain::{EngineKind, FailureCause};

use super::*;

pub(crate) async fn launches_are_newest_first_and_end_with_their_replica(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = stored(&*store).await;
    assert!(!store.was_launched(it.id).await.unwrap());
    let one = reserved(&*store, &it, "a").await;
    let two = reserved(&*store, &it, "b").await;
    assert!(store.was_launched(it.id).await.unwrap());
    store.fail(one, &ending(FailureCause::EngineExited), None, NOW).await.unwrap();
    let shown = async || -> Vec<_> {
        let all = store.attempts(it.id).await.unwrap();
        all.into_iter().map(|it| (it.replica, it.attempt, it.has_ended)).collect()
    };
    assert_eq!(shown().await, [(two, 2, false), (one, 1, true)]);
    assert_eq!(store.log_tail(one).await.unwrap(), "cannot go on");
    assert_eq!(store.log_tail(two).await.unwrap(), "");
    store.stop(two, WHY, None, "being ended", NOW).await.unwrap();
    assert!(!store.has_ended(two).await.unwrap(), "it is being ended");
    store.release(two, None, NOW).await.unwrap();
    assert!(store.has_ended(two).await.unwrap());
    assert!(store.has_ended(ids().0).await.unwrap(), "one that nobody knows");
    assert_eq!(shown().await, [(two, 2, true), (one, 1, true)]);
    assert!(store.attempts(it.id).await.unwrap().iter().all(|it| it.engine == EngineKind::default()));
}

pub(crate) async fn launches_name_the_engine_of_their_endpoint(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = Desired { engine: EngineKind::parse("other").unwrap(), ..unnamed() };
    store.insert_endpoint(&new(it.clone()), NOW).await.unwrap();
    reserved(&*store, &it, "a").await;
    assert_eq!(store.snapshot().await.unwrap()[0].desired.engine, it.engine);
    assert_eq!(store.attempts(it.id).await.unwrap()[0].engine, it.engine);
    let events = store.events(it.id, 0, 10).await.unwrap();
    assert_eq!(events.last().unwrap().message, "attempt 1: launching other on a");
}

pub(crate) async fn failures_count_since_the_start_and_since_it_last_worked(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = stored(&*store).await;
    let other = stored(&*store).await;
    let failed = async |of: &Desired, at: i64| {
        let replica = reserved(&*store, of, &format!("{}-{at}", of.id)).await;
        store.fail(replica, &ending(FailureCause::EngineExited), None, later(at)).await.unwrap();
    };
    let counted = async || -> Vec<i64> {
        let rows = store.snapshot().await.unwrap();
        let own = rows.into_iter().find(|row| row.desired.id == it.id).unwrap();
        own.failures.iter().map(|it| it.at.0 - NOW.0).collect()
    };
    failed(&it, 10).await;
    failed(&other, 15).await;
    failed(&it, 20).await;
    assert_eq!(counted().await, [10, 20]);
    let works = reserved(&*store, &it, "a").await;
    store.mark_ready(works, &ready(after(25))).await.unwrap();
    assert_eq!(counted().await, [10, 20], "it has proved nothing yet");
    store.stop(works, WHY, None, "being ended", later(30)).await.unwrap();
    store.release(works, None, later(30)).await.unwrap();
    assert_eq!(counted().await, [0_i64; 0]);
    failed(&it, 40).await;
    let unready = reserved(&*store, &it, "a").await;
    store.stop(unready, WHY, None, "being ended", later(50)).await.unwrap();
    store.release(unready, None, later(50)).await.unwrap();
    assert_eq!(counted().await, [40], "one that was never ready proves nothing");
}

pub(crate) async fn the_usual_start_is_the_median_of_the_last_ones(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = stored(&*store).await;
    let usual = async || store.usual_start(&it.model, &it.hardware).await.unwrap().map(|it| it.as_millis());
    assert_eq!(usual().await, None);
    for took in [900, 900, 100, 300, 200, 500, 400] {
        let replica = reserved(&*store, &it, &format!("d-{}", ids().0)).await;
        store.mark_ready(replica, &ready(after(took))).await.unwrap();
    }
    assert_eq!(usual().await, Some(Duration::from_millis(300).as_millis()), "of the last five");
    let other = dedi_domain::HardwareId::parse("2x_cpu_8gb").unwrap();
    assert_eq!(store.usual_start(&it.model, &other).await.unwrap(), None);
}

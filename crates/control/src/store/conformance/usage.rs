use dedi_domain::FailureCause;
use dedi_domain::usage::Period;

use super::*;
use crate::store::{EndpointKey, EndpointUsage};

const ALWAYS: Period = Period { from: Timestamp(i64::MIN), to: Timestamp(i64::MAX) };

/// A replica that has just become ready.
struct Rows {
    store: Arc<dyn Store>,
    endpoint: Desired,
    replica: ReplicaId,
}

impl Rows {
    async fn ready(factory: &impl Factory) -> Self {
        let store = leading(factory).await;
        let endpoint = stored(&*store).await;
        let replica = reserved(&*store, &endpoint, "cpu-0").await;
        store.mark_ready(replica, &ready(after(0))).await.unwrap();
        Self { store, endpoint, replica }
    }

    async fn beat(&self, until: Moment) {
        self.store.beat(&[(self.replica, until)]).await.unwrap();
    }

    async fn fail(&self, ran: Option<Moment>) {
        let end = ending(FailureCause::EngineExited);
        self.store.fail(self.replica, &end, ran, later(900_000)).await.unwrap();
    }

    async fn usage(&self) -> EndpointUsage {
        let all = self.store.usage(&self.endpoint.owner, ALWAYS, None, &|_| 1.0).await.unwrap();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }

    /// Milliseconds recorded, and whether they may become more.
    async fn ran(&self) -> (u128, bool) {
        let usage = self.usage().await;
        (usage.usage.ran.as_millis(), usage.is_running)
    }

    /// The same store, after a server that had no time to close it.
    async fn reopen(self, factory: &impl Factory) -> Self {
        let store = factory.open().await;
        store.lead().await.unwrap();
        Self { store, ..self }
    }
}

pub(crate) async fn a_running_time_follows_its_beats_and_ends_once(factory: &impl Factory) {
    let rows = Rows::ready(factory).await;
    assert_eq!(rows.ran().await, (0, true));
    rows.beat(after(5_000)).await;
    assert_eq!(rows.ran().await, (5_000, true));
    rows.beat(after(3_000)).await;
    assert_eq!(rows.ran().await, (5_000, true), "a beat that comes late takes nothing back");
    rows.fail(Some(after(7_000))).await;
    assert_eq!(rows.ran().await, (7_000, false));
    rows.fail(Some(after(60_000))).await;
    rows.store.stop(rows.replica, WHY, Some(after(60_000)), "being ended", NOW).await.unwrap();
    rows.beat(after(70_000)).await;
    rows.store.release(rows.replica, None, NOW).await.unwrap();
    rows.beat(after(80_000)).await;
    assert_eq!(rows.ran().await, (7_000, false));
    let usage = rows.usage().await.usage;
    assert!(usage.n_replicas == 1 && (usage.cents - 0.7).abs() < 1e-9, "{usage:?}");
}

pub(crate) async fn an_end_that_is_not_known_adds_nothing_and_an_early_one_takes_nothing(
    factory: &impl Factory,
) {
    let rows = Rows::ready(factory).await;
    rows.beat(after(5_000)).await;
    for (n, ran) in [None, Some(after(2_000)), Some(after(-60_000))].into_iter().enumerate() {
        let replica = reserved(&*rows.store, &rows.endpoint, &format!("cpu-{}", n + 1)).await;
        rows.store.mark_ready(replica, &ready(after(0))).await.unwrap();
        rows.store.beat(&[(replica, after(5_000))]).await.unwrap();
        let end = ending(FailureCause::EngineExited);
        rows.store.fail(replica, &end, ran, later(900_000)).await.unwrap();
        assert_eq!(rows.ran().await, (5_000 * (n as u128 + 2), true), "{ran:?}");
    }
    rows.store.stop(rows.replica, WHY, Some(after(9_000)), "being ended", NOW).await.unwrap();
    assert_eq!(rows.ran().await, (24_000, false), "an end that is known counts");
}

pub(crate) async fn what_was_recorded_before_a_crash_goes_on_after_it(factory: &impl Factory) {
    let rows = Rows::ready(factory).await;
    rows.beat(after(5_000)).await;
    let rows = rows.reopen(factory).await;
    assert_eq!(rows.ran().await, (5_000, true));
    let row = rows.store.snapshot().await.unwrap()[0].replicas[0].clone();
    assert_eq!((row.ready_at, row.ran_until), (Some(NOW), Some(after(5_000).at)));
    assert_eq!(rows.store.newest_stamp().await.unwrap(), after(5_000).at);
    rows.beat(after(65_000)).await;
    rows.fail(None).await;
    let rows = rows.reopen(factory).await;
    rows.beat(after(100_000)).await;
    assert_eq!(rows.ran().await, (65_000, false));
}

pub(crate) async fn a_clock_that_was_set_adds_and_takes_nothing(factory: &impl Factory) {
    const YEARS: i64 = 10 * 365 * 86_400_000;
    let rows = Rows::ready(factory).await;
    rows.beat(both(YEARS, 5_000)).await;
    assert_eq!(rows.ran().await, (5_000, true), "ten years on, after five seconds");
    rows.beat(both(YEARS + 5_000, 10_000)).await;
    assert_eq!(rows.ran().await, (10_000, true), "and on from there");
    rows.beat(both(-YEARS, 15_000)).await;
    assert_eq!(rows.ran().await, (10_000, true), "ten years back");
    rows.beat(both(YEARS + 6_000, 3_600_000)).await;
    assert_eq!(rows.ran().await, (11_000, true), "an hour without the clock");
    rows.fail(Some(both(2 * YEARS, 3_601_000))).await;
    assert_eq!(rows.ran().await, (12_000, false));
}

pub(crate) async fn only_what_has_ended_is_forgotten(factory: &impl Factory) {
    let rows = Rows::ready(factory).await;
    rows.beat(after(5_000)).await;
    assert_eq!(rows.store.forget_usage(after(9_000).at).await.unwrap(), 0, "it runs");
    rows.fail(None).await;
    assert_eq!(rows.store.forget_usage(after(5_000).at).await.unwrap(), 0, "not old enough");
    assert_eq!(rows.store.forget_usage(after(5_001).at).await.unwrap(), 1);
    assert!(rows.store.usage(&rows.endpoint.owner, ALWAYS, None, &|_| 1.0).await.unwrap().is_empty());
}

pub(crate) async fn usage_outlives_its_endpoint(factory: &impl Factory) {
    let rows = Rows::ready(factory).await;
    let (store, of) = (&rows.store, &rows.endpoint);
    rows.beat(after(60_000)).await;
    delete(&**store, of.id).await;
    store.stop(rows.replica, WHY, None, "being ended", NOW).await.unwrap();
    store.release(rows.replica, None, NOW).await.unwrap();
    store.erase(of.id, NOW).await.unwrap();
    assert_eq!(rows.ran().await, (60_000, false));
    for key in [EndpointKey::Id(of.id), EndpointKey::Name(of.name.clone())] {
        assert!(store.has_usage(&of.owner, &key).await.unwrap());
        assert!(!store.has_usage(&owner("other"), &key).await.unwrap());
        assert_eq!(store.usage(&of.owner, ALWAYS, Some(&key), &|_| 1.0).await.unwrap().len(), 1);
    }
    let other = EndpointKey::Id(unnamed().id);
    assert!(store.usage(&of.owner, ALWAYS, Some(&other), &|_| 1.0).await.unwrap().is_empty());
    let before = Period { from: Timestamp(0), to: NOW };
    assert!(store.usage(&of.owner, before, None, &|_| 1.0).await.unwrap().is_empty());
}

//! Running times through whole lives of endpoints, held against what the events say, and as the API shows them.

use dedi_domain::{FailureCause, LoadReport, Role};
use http::StatusCode;
use serde_json::Value;

use crate::ControlConfig;
use crate::testing::{FakeRuntime, Plane};

/// Longest that a crash may cost, for each replica.
const LOST_MS_MAX: i64 = 10_000;
const ALWAYS: &str = "from=2000-01-01&to=2100-01-01";

impl Plane {
    /// So many seconds in which somebody looks every second.
    async fn live(&self, secs: i64) {
        for _ in 0..secs {
            self.later(1);
            self.settle_idle().await;
        }
    }

    async fn usage(&self, query: &str) -> Value {
        let answer = self.call("GET", &format!("/v1/usage?{query}"), "").await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()
    }

    /// All that is recorded, in milliseconds.
    async fn ran(&self) -> i64 {
        let all = self.usage(ALWAYS).await;
        let parts = all["data"].as_array().unwrap().iter().map(|it| ms(&it["minutes"])).sum::<i64>();
        assert!((parts - ms(&all["total_minutes"])).abs() <= 1, "{all}");
        parts
    }

    /// The same from the events, counted in another way: from ready to the first word of its end, or until now; and
    /// of how many replicas.
    async fn recount(&self, id: &str) -> (i64, i64) {
        let events = self.parts().store.events(id.parse().unwrap(), 0, 10_000).await.unwrap();
        let (mut sum, mut n_ready) = (0, 0);
        for ready in events.iter().filter(|it| it.kind == "replica_ready") {
            let ends = |kind: &str| kind == "replica_failed" || kind == "replica_stopping";
            let end = events.iter().find(|it| it.replica == ready.replica && ends(&it.kind));
            sum += end.map_or(self.now(), |it| it.at).0 - ready.at.0;
            n_ready += 1;
        }
        (sum, n_ready)
    }

    async fn hold(&self, ids: &[&str]) -> i64 {
        let ran = self.ran().await;
        let (mut sum, mut n_ready) = (0, 0);
        for id in ids {
            let (more, n) = self.recount(id).await;
            (sum, n_ready) = (sum + more, n_ready + n);
        }
        assert!(ran <= sum, "{ran} ms are recorded, of {sum} ms that the events show");
        assert!(
            sum - ran <= n_ready * LOST_MS_MAX,
            "{ran} ms are recorded, of {sum} ms in {n_ready} replicas"
        );
        ran
    }
}

#[expect(clippy::cast_possible_truncation, reason = "minutes of a test")]
fn ms(minutes: &Value) -> i64 {
    (minutes.as_f64().unwrap() * 60_000.0).round() as i64
}

async fn patch(plane: &Plane, id: &str, state: &str) {
    let body = format!(r#"{{"state":"{state}"}}"#);
    let answer = plane.call("PATCH", &format!("/v1/endpoints/{id}"), &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

#[tokio::test]
async fn a_whole_life_is_what_its_events_say() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.live(12).await;
    let first = plane.hold(&[&id]).await;
    assert!(first >= 5_000, "{first}");
    // A failure, the back-off after it, and the next replica.
    plane.later(1);
    plane.runtime.kill_all(dedi_domain::Timestamp(plane.now().0 - 300));
    plane.live(9).await;
    plane.hold(&[&id]).await;
    // A drain that takes its time, since nobody acknowledges the table.
    patch(&plane, &id, "STOPPED").await;
    let stale = LoadReport { at: plane.now(), ..LoadReport::default() };
    plane.settle(&stale).await;
    plane.later(7);
    plane.settle(&LoadReport { at: plane.now(), ..stale }).await;
    plane.hold(&[&id]).await;
    plane.live(3).await;
    assert_eq!(plane.state(&id).await, "STOPPED");
    let stopped = plane.hold(&[&id]).await;
    plane.live(20).await;
    assert_eq!(plane.hold(&[&id]).await, stopped, "nothing runs");
    // The control plane is away while a replica runs, and once more when one ends.
    patch(&plane, &id, "STARTED").await;
    plane.live(6).await;
    plane.later(60);
    let plane = plane.restart().await;
    let adopted = plane.hold(&[&id]).await;
    assert!(adopted >= stopped + 60_000, "{stopped} {adopted}");
    plane.live(4).await;
    let plane = plane.restart().await;
    let other = plane.create("").await;
    plane.live(11).await;
    plane.hold(&[&id, &other]).await;

    let before = plane.usage(ALWAYS).await;
    let running = |it: &Value| {
        it["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| (it["endpoint"].clone(), it["running"].clone()))
            .collect()
    };
    let shown: Vec<(Value, Value)> = running(&before);
    assert_eq!(shown, [(other.as_str().into(), true.into()), (id.as_str().into(), true.into())]);
    assert_eq!(before["data"][1]["replicas"], 3);
    assert_eq!(plane.call("DELETE", &format!("/v1/endpoints/{id}"), "").await.status, StatusCode::NO_CONTENT);
    plane.live(40).await;
    assert!(plane.parts().store.is_erased(id.parse().unwrap()).await.unwrap());
    plane.hold(&[&id, &other]).await;
    let shown: Vec<(Value, Value)> = running(&plane.usage(ALWAYS).await);
    assert_eq!(shown, [(other.as_str().into(), true.into()), (id.as_str().into(), false.into())]);
    let gone = plane.usage(&format!("{ALWAYS}&endpoint={id}")).await;
    assert!(ms(&gone["total_minutes"]) >= adopted, "{gone}");

    let stranger = plane.key("stranger", Role::Owner).await;
    let theirs = plane.call_as(Some(&stranger), "GET", &format!("/v1/usage?{ALWAYS}"), "").await.json();
    assert_eq!((&theirs["data"], &theirs["total_minutes"]), (&serde_json::json!([]), &0.0.into()));
}

#[tokio::test]
async fn an_end_that_nobody_saw_is_the_one_that_was_recorded_or_the_last_beat() {
    for (cause, ran) in [
        (FailureCause::EngineKilled, 8_000 + 20_000),
        (FailureCause::HostRestarted, 5_000),
        (FailureCause::Lost, 5_000),
    ] {
        let plane = Plane::start().await;
        let id = plane.create("").await;
        plane.settle_idle().await;
        plane.live(8).await;
        plane.later(20);
        plane.runtime.end_all(cause, plane.now());
        plane.later(100);
        let plane = plane.restart().await;
        assert_eq!(plane.ran().await, ran, "{cause:?}");
        assert_eq!(plane.usage(&format!("endpoint={id}")).await["data"][0]["replicas"], 1);
    }
}

#[tokio::test]
async fn a_life_shorter_than_a_beat_counts_up_to_its_end() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    plane.live(3).await;
    assert_eq!(plane.ran().await, 0);
    patch(&plane, &id, "STOPPED").await;
    plane.later(1);
    plane.settle_idle().await;
    assert_eq!(plane.ran().await, 4_000);
    plane.live(20).await;
    assert_eq!(plane.ran().await, 4_000);
}

#[tokio::test]
async fn a_clock_that_was_set_between_two_servers_neither_adds_nor_takes() {
    let plane = Plane::start().await;
    plane.create("").await;
    plane.settle_idle().await;
    for _ in 0..20 {
        plane.later(5);
        plane.settle_idle().await;
    }
    assert_eq!(plane.ran().await, 100_000);
    plane.clock.set(10 * 365 * 86_400_000);
    plane.later(7);
    let plane = plane.restart().await;
    assert_eq!(plane.ran().await, 107_000, "ten years on");
    for _ in 0..20 {
        plane.later(5);
        plane.settle_idle().await;
    }
    assert_eq!(plane.ran().await, 207_000);
    plane.clock.set(-60_000);
    let plane = plane.restart().await;
    plane.later(10);
    plane.settle_idle().await;
    assert_eq!(plane.ran().await, 217_000, "a minute back: the clock begins where it was");
}

#[tokio::test]
async fn many_replicas_are_written_down_no_more_often_than_one() {
    let plane = Plane::start().await;
    for _ in 0..3 {
        plane.create("").await;
        plane.live(2).await;
    }
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(plane.dir.path().join("state.db"));
    let other =
        sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let mut n_writes = 0;
    let mut last: i64 = sqlx::query_scalar("PRAGMA data_version").fetch_one(&other).await.unwrap();
    for _ in 0..60 {
        plane.later(1);
        plane.settle_idle().await;
        let version: i64 = sqlx::query_scalar("PRAGMA data_version").fetch_one(&other).await.unwrap();
        n_writes += i64::from(version != last);
        last = version;
    }
    assert!((10..=12).contains(&n_writes), "{n_writes} seconds of 60 had a write");
}

#[tokio::test]
async fn what_could_not_be_seen_or_read_for_a_while_is_caught_up_with() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    plane.runtime.set_down(true);
    plane.live(30).await;
    assert_eq!(plane.ran().await, 0, "nobody saw it live");
    plane.runtime.set_down(false);
    plane.settle_idle().await;
    assert_eq!(plane.ran().await, 30_000);

    let writer = plane.writer();
    let set = async |run: &'static str| {
        sqlx::query("PRAGMA ignore_check_constraints = ON").execute(&writer).await.unwrap();
        let done = sqlx::query("UPDATE endpoints SET run = ? WHERE id = ?").bind(run).bind(&id);
        assert_eq!(done.execute(&writer).await.unwrap().rows_affected(), 1);
    };
    set("BROKEN").await;
    plane.live(30).await;
    assert_eq!(plane.ran().await, 30_000, "it is left as it is");
    set("STARTED").await;
    plane.settle_idle().await;
    assert_eq!(plane.ran().await, 60_000);
}

#[tokio::test]
async fn a_beat_that_fails_holds_nothing_up_and_is_made_up_for() {
    let plane = Plane::start().await;
    plane.create("").await;
    plane.settle_idle().await;
    let writer = plane.writer();
    let trap = "CREATE TRIGGER trap BEFORE UPDATE ON usage BEGIN SELECT RAISE(ABORT, 'planned'); END";
    sqlx::query(trap).execute(&writer).await.unwrap();
    plane.live(7).await;
    let second = plane.create("").await;
    plane.live(7).await;
    assert_eq!(plane.state(&second).await, "STARTED");
    assert_eq!(plane.ran().await, 0);
    sqlx::query("DROP TRIGGER trap").execute(&writer).await.unwrap();
    plane.settle_idle().await;
    assert_eq!(plane.ran().await, 14_000 + 6_000);
}

#[tokio::test]
async fn a_replica_keeps_the_price_it_became_ready_at() {
    let mut config = ControlConfig::default();
    config.cents_per_device_minute.insert("cpu_8gb".to_owned(), 6.0);
    let mut plane = Plane::with(config, FakeRuntime::with_cores(4)).await;
    let body =
        r#"{"model":"dedi/demo","hardware":"2x_cpu_8gb","autoscaling":{"min_replicas":1,"max_replicas":1}}"#;
    let answer = plane.call("POST", "/v1/endpoints", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    plane.settle_idle().await;
    plane.config.cents_per_device_minute.insert("cpu_8gb".to_owned(), 600.0);
    plane.later(120);
    let plane = plane.restart().await;
    let usage = plane.usage("").await;
    assert_eq!(usage["data"][0]["hardware"], "2x_cpu_8gb");
    assert_eq!((ms(&usage["total_minutes"]), ms(&usage["total_cents"])), (120_000, 2 * 2 * 6 * 60_000));
}

#[tokio::test]
async fn a_period_has_what_lies_in_it_and_its_wrong_ends_are_named() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    let began = plane.now();
    for _ in 0..24 {
        plane.later(5);
        plane.settle_idle().await;
    }
    let at = |secs: i64| crate::text::time(dedi_domain::Timestamp(began.0 + secs * 1_000));
    let total = async |query: String| ms(&plane.usage(&query).await["total_minutes"]);
    assert_eq!(total(format!("from={}&to={}", at(0), at(120))).await, 120_000);
    assert_eq!(total(format!("from={}&to={}", at(0), at(50))).await, 50_000);
    assert_eq!(total(format!("from={}&to={}", at(50), at(500))).await, 70_000);
    assert_eq!(total(format!("from={}", at(100))).await, 20_000);
    assert_eq!(total(format!("to={}", at(10))).await, 10_000);
    assert_eq!(total("from=2026-01-01&to=2026-01-02".to_owned()).await, 120_000, "the plane's first day");
    assert_eq!(total("from=2026-01-01T01:00:00%2B01:00".to_owned()).await, 120_000);
    for nothing in ["to=2026-01-01", "from=2026-01-02", "from=2090-01-01", "from=2026-01-01&to=2026-01-01"] {
        let usage = plane.usage(nothing).await;
        assert_eq!(
            (&usage["data"], &usage["total_minutes"]),
            (&serde_json::json!([]), &0.0.into()),
            "{nothing}"
        );
    }
    let name = plane.get(&id).await["name"].as_str().unwrap().to_owned();
    assert_eq!(total(format!("endpoint={}", name.replace('/', "%2F"))).await, 120_000);
    let unused = plane.create("").await;
    plane.call("DELETE", &format!("/v1/endpoints/{unused}"), "").await;

    for (query, param) in [
        ("from=yesterday", "from"),
        ("to=12", "to"),
        ("from=", "from"),
        ("from=2026-01-01T00:00:00", "from"),
        ("to=2026-13-01", "to"),
        ("from=2026-01-02&to=2026-01-01", "from"),
    ] {
        let answer = plane.call("GET", &format!("/v1/usage?{query}"), "").await;
        assert_eq!(
            (answer.status, answer.param().as_deref()),
            (StatusCode::BAD_REQUEST, Some(param)),
            "{query}"
        );
    }
    for endpoint in ["nonsense", "endpoint-00000000-0000-4000-8000-000000000000", "team/dedi/demo-00000000"] {
        let answer = plane.call("GET", &format!("/v1/usage?endpoint={endpoint}"), "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
        assert!(answer.message().contains("not found"), "{answer:?}");
    }
}

#[tokio::test]
async fn what_ended_long_ago_is_forgotten_by_the_clean_up() {
    let config = ControlConfig { usage_kept_days: 2, ..ControlConfig::default() };
    let plane = Plane::with(config, FakeRuntime::with_cores(4)).await;
    let ended = plane.create("").await;
    plane.settle_idle().await;
    plane.live(6).await;
    patch(&plane, &ended, "STOPPED").await;
    plane.live(2).await;
    let runs = plane.create("").await;
    plane.settle_idle().await;
    assert_eq!(plane.usage(ALWAYS).await["data"].as_array().unwrap().len(), 2);
    plane.later(3 * 86_400);
    let running = plane.run();
    for _ in 0..500 {
        if plane.usage(ALWAYS).await["data"].as_array().unwrap().len() == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    running.end().await;
    let kept = plane.usage(ALWAYS).await;
    assert_eq!(kept["data"].as_array().unwrap().len(), 1, "{kept}");
    assert_eq!(kept["data"][0]["endpoint"], runs.as_str());
}

#[tokio::test]
async fn an_answer_is_bounded_and_its_sums_are_whole() {
    let plane = Plane::start().await;
    let many = "INSERT INTO usage \
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1001) \
        SELECT 'replica-' || i, 'endpoint-' || i, 'team/m-' || i, 'team', 'm', '1x_cpu_8gb', 1, 2.0, 1, \
            ?1 + i, ?1 + i + 60000, ?1, 0, 1 FROM n";
    let writer = plane.writer();
    sqlx::query(many).bind(plane.now().0).execute(&writer).await.unwrap();
    let usage = plane.usage(ALWAYS).await;
    let data = usage["data"].as_array().unwrap();
    assert_eq!(data.len(), 1_000);
    assert_eq!(
        (&data[0]["endpoint"], &data[999]["endpoint"]),
        (&"endpoint-1001".into(), &"endpoint-2".into())
    );
    assert_eq!((ms(&usage["total_minutes"]), ms(&usage["total_cents"])), (1_001 * 60_000, 2_002 * 60_000));
}

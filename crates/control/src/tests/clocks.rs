//! The wall clock is years off when the control plane starts, or is set while it runs.

use http::StatusCode;

use crate::testing::Plane;

const DAY: i64 = 86_400_000;
const YEARS: i64 = 3_650 * DAY;

impl Plane {
    /// A key of the team that expires after so many days.
    async fn key_for_days(&self, days: u32) -> String {
        let body = format!(r#"{{"role":"viewer","expires_in_days":{days}}}"#);
        let made = self.call("POST", "/v1/keys", &body).await;
        made.json()["key"].as_str().unwrap().to_owned()
    }

    async fn status_as(&self, key: &str) -> StatusCode {
        self.call_as(Some(key), "GET", "/v1/endpoints", "").await.status
    }
}

#[tokio::test]
async fn clock_years_ahead_at_start_and_corrected_lets_valid_keys_in() {
    let plane = Plane::start().await;
    let (month, year) = (plane.key_for_days(30).await, plane.key_for_days(365).await);
    plane.clock.set_wall(YEARS);
    let plane = plane.restart().await;
    assert_eq!(plane.status_as(&year).await, StatusCode::FORBIDDEN, "it has expired by this clock");
    let id = plane.create("").await;
    let shown = |it: serde_json::Value| it["created_at"].as_str().unwrap()[..4].to_owned();
    assert_eq!(shown(plane.get(&id).await), "2035");
    let meant_for_a_day = plane.key_for_days(1).await;

    plane.clock.set_wall(-YEARS);
    plane.settle_idle().await;
    assert_eq!(plane.status_as(&month).await, StatusCode::OK);
    assert_eq!(plane.status_as(&year).await, StatusCode::OK);
    assert_eq!(shown(plane.get(&id).await), "2026", "times follow");
    let keys = plane.call("GET", "/v1/keys", "").await.text;
    assert!(!keys.contains("2035"), "{keys}");
    // A key that was made under the wrong clock lives as long as was meant.
    assert_eq!(plane.status_as(&meant_for_a_day).await, StatusCode::OK);
    plane.later(2 * 86_400);
    plane.settle_idle().await;
    assert_eq!(plane.status_as(&meant_for_a_day).await, StatusCode::FORBIDDEN);
    assert_eq!(plane.status_as(&month).await, StatusCode::OK);
    plane.later(40 * 86_400);
    plane.settle_idle().await;
    assert_eq!(plane.status_as(&month).await, StatusCode::FORBIDDEN);

    // It stays so after the next start, whose stamps go on from the wrong ones.
    let plane = plane.restart().await;
    assert_eq!(plane.status_as(&year).await, StatusCode::OK);
    assert_eq!(shown(plane.get(&id).await), "2026");
    let events = plane.call("GET", &format!("/v1/endpoints/{id}/events"), "").await.text;
    assert!(!events.contains("2035"), "{events}");
}

#[tokio::test]
async fn clock_years_behind_at_start_and_corrected_expires_keys() {
    let plane = Plane::start().await;
    let (week, year) = (plane.key_for_days(7).await, plane.key_for_days(365).await);
    plane.create("").await;
    // The host comes up in the past, 30 days later, and is corrected after a while.
    plane.clock.set_wall(-YEARS);
    let plane = plane.restart().await;
    assert!(plane.parts().clock.trouble().is_some_and(|it| it.contains("before the last record")));
    assert_eq!(plane.status_as(&year).await, StatusCode::OK, "the past is not believed, the last record is");
    plane.later(60);
    plane.clock.set_wall(YEARS + 30 * DAY);
    assert_eq!(plane.status_as(&week).await, StatusCode::FORBIDDEN, "read at each check");
    assert_eq!(plane.status_as(&year).await, StatusCode::OK);
    assert_eq!(plane.parts().clock.trouble(), None);
}

#[tokio::test]
async fn clock_set_back_brings_no_expired_key_to_life() {
    let plane = Plane::start().await;
    let week = plane.key_for_days(7).await;
    plane.later(8 * 86_400);
    plane.create("").await;
    assert_eq!(plane.status_as(&week).await, StatusCode::FORBIDDEN);
    let mut plane = plane.restart().await;
    for back in [3 * DAY, YEARS] {
        plane.clock.set_wall(-back);
        plane.settle_idle().await;
        assert_eq!(plane.status_as(&week).await, StatusCode::FORBIDDEN);
        plane = plane.restart().await;
        assert_eq!(plane.status_as(&week).await, StatusCode::FORBIDDEN);
    }
    // An operator who knows better says so.
    plane.config.clock_is_right = true;
    let plane = plane.restart().await;
    assert_eq!(plane.status_as(&week).await, StatusCode::OK);
}

#[tokio::test]
async fn clock_set_while_running_moves_no_bill_and_no_back_off() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    plane.later(60);
    plane.settle_idle().await;
    let minutes = async || {
        let report = plane.call("GET", "/v1/usage?from=2020-01-01&to=2050-01-01", "").await.json();
        report["total_minutes"].as_f64().unwrap()
    };
    let before = minutes().await;
    plane.clock.set_wall(-3 * 3_600_000);
    plane.settle_idle().await;
    assert!((minutes().await - before).abs() < 0.01);
    plane.later(60);
    plane.settle_idle().await;
    assert!((minutes().await - before - 1.0).abs() < 0.01, "{} {before}", minutes().await);
    assert_eq!(plane.state(&id).await, "STARTED");
}

//! The log of a launch, by its end and as it grows.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use http::StatusCode;

use crate::LogName;
use crate::testing::Plane;

#[tokio::test]
async fn a_log_is_read_by_its_end_and_followed_until_its_launch_ends() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    let empty = plane.call("GET", &format!("/v1/endpoints/{id}/logs"), "").await;
    assert_eq!((empty.status, empty.text.as_str()), (StatusCode::OK, ""));
    plane.settle_idle().await;
    let log = LogName { endpoint: id.parse().unwrap(), replica: plane.runtime.live()[0].id, attempt: 1 };
    let file = plane.logs().path(log.endpoint, log.attempt);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "one\ntwo\nthree\n").unwrap();
    let tail = plane.call("GET", &format!("/v1/endpoints/{id}/logs?tail=2"), "").await;
    assert_eq!(tail.text, "two\nthree\n");
    assert_eq!(tail.headers["content-type"], "text/plain; charset=utf-8");
    let path = format!("/v1/endpoints/{id}/logs?tail=1&follow=true&replica={}", log.replica);
    let follow = plane.call("GET", &path, "");
    let write = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut log = std::fs::File::options().append(true).open(&file).unwrap();
        log.write_all(b"four\n").unwrap();
        plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state":"STOPPED"}"#).await;
        plane.settle_idle().await;
    };
    let (followed, ()) = tokio::join!(follow, write);
    assert_eq!(followed.text, "three\nfour\n");
    let replica = log.replica;
    for wrong in ["attempt=9", "replica=replica-9", &format!("attempt=9&replica={replica}")] {
        let none = plane.call("GET", &format!("/v1/endpoints/{id}/logs?{wrong}"), "").await;
        assert_eq!(none.status, StatusCode::NOT_FOUND);
        let said = format!("There is no launch of that number or replica: attempt 1 was {replica}");
        assert_eq!(none.message(), said, "{wrong}");
    }
    let unlaunched = plane.create("").await;
    let none = plane.call("GET", &format!("/v1/endpoints/{unlaunched}/logs?replica={replica}"), "").await;
    assert!(none.text.contains("the endpoint has not been launched yet"), "{}", none.text);
}

#[tokio::test]
async fn the_logs_of_a_deleted_endpoint_go_with_it_and_leftovers_at_the_next_sweep() {
    let plane = Plane::start().await;
    let (gone, stays) = (plane.create("").await, plane.create("").await);
    plane.settle_idle().await;
    let logs = plane.logs();
    let stranger = "endpoint-00000000-0000-0000-0000-000000000001".to_owned();
    let log = |id: &str| {
        let file = logs.path(id.parse().unwrap(), 1);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "loading\n").unwrap();
    };
    let left = || logs.endpoints().unwrap().iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    log(&gone);
    log(&stays);
    plane.call("DELETE", &format!("/v1/endpoints/{gone}"), "").await;
    plane.settle_idle().await;
    assert_eq!(left(), BTreeSet::from([stays.clone()]));
    // As a server leaves it that dies before it is done; and what this database never knew.
    log(&gone);
    log(&stranger);
    plane.control.sweep_for_tests().await;
    assert_eq!(left(), BTreeSet::from([stays, stranger]));
}

#[tokio::test]
async fn a_tail_has_what_was_rotated_away_a_moment_ago() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    let file = plane.logs().path(id.parse().unwrap(), 1);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let older: String = (0..132).map(|n| format!("line {n}\n")).collect();
    std::fs::write(file.with_extension("log.1"), &older).unwrap();
    std::fs::write(&file, "line 132\nline 133\n").unwrap();
    let all = plane.call("GET", &format!("/v1/endpoints/{id}/logs?tail=1000"), "").await;
    assert_eq!(all.text, format!("{older}line 132\nline 133\n"));
    let some = plane.call("GET", &format!("/v1/endpoints/{id}/logs?tail=100"), "").await;
    assert_eq!((some.text.lines().count(), some.text.lines().next()), (100, Some("line 34")));
}

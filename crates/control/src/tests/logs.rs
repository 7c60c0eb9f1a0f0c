//! The log of a launch, by its end and as it grows.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use dedi_runtime_api::LogName;
use http::StatusCode;
use http_body_util::BodyExt;

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
    let mut follow = plane.open("GET", &path).await.into_body();
    assert_eq!(frame(&mut follow).await.unwrap(), "three\n");
    let mut log_file = std::fs::File::options().append(true).open(&file).unwrap();
    log_file.write_all(b"four\n").unwrap();
    plane.call("PATCH", &format!("/v1/endpoints/{id}"), r#"{"state":"STOPPED"}"#).await;
    plane.settle_idle().await;
    assert_eq!(frame(&mut follow).await.unwrap(), "four\n");
    let end = tokio::time::timeout(Duration::from_secs(30), follow.frame()).await.unwrap();
    assert!(end.is_none(), "the launch has ended: {end:?}");
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

#[tokio::test]
async fn a_followed_log_has_no_end_when_the_server_ends_and_goes_on_from_its_last_mark() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    let file = plane.logs().path(id.parse().unwrap(), 1);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "one\n\u{1e}1.no-mark\n").unwrap();
    let path = format!("/v1/endpoints/{id}/logs?tail=9&follow=true");
    let mut plain = plane.open("GET", &path).await.into_body();
    let mut marked = plane.open("GET", &format!("{path}&marks=true")).await.into_body();
    assert_eq!(frame(&mut plain).await.unwrap(), "one\n\u{1e}1.no-mark\n");
    let first = frame(&mut marked).await.unwrap();
    let place = first.strip_prefix("one\n?1.no-mark\n\u{1e}").unwrap().trim_end().to_owned();
    plane.control.cut_streams();
    assert!(frame(&mut plain).await.is_err() && frame(&mut marked).await.is_err());

    let plane = plane.restart().await;
    let mut log = std::fs::File::options().append(true).open(&file).unwrap();
    log.write_all(b"two\n").unwrap();
    let resumed = format!("/v1/endpoints/{id}/logs?follow=true&marks=true&from={place}");
    let mut rest = plane.open("GET", &resumed).await.into_body();
    assert_eq!(frame(&mut rest).await.unwrap(), format!("\u{1e}{place}\n"));
    assert!(frame(&mut rest).await.unwrap().starts_with("two\n\u{1e}1."));
    for wrong in [
        "",
        "1.x",
        "1",
        "%2B1.1-2-3",
        "1.%2B1-2-3",
        "1.1-2",
        "1.1-2-3-4",
        "1.A-2-3",
        "1.00000000000000001-2-3",
    ] {
        let told = plane.call("GET", &format!("/v1/endpoints/{id}/logs?follow=true&from={wrong}"), "").await;
        assert_eq!(told.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_no_end_of_a_launch() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    let file = plane.logs().path(id.parse().unwrap(), 1);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "one\n").unwrap();
    let mut body = plane.open("GET", &format!("/v1/endpoints/{id}/logs?follow=true")).await.into_body();
    assert_eq!(frame(&mut body).await.unwrap(), "one\n");
    plane.parts().store.close().await;
    let mut log = std::fs::File::options().append(true).open(&file).unwrap();
    // By a clock that goes on as soon as everybody waits: many looks that can't learn whether the launch has ended.
    tokio::time::pause();
    let more = tokio::time::timeout(Duration::from_secs(60), body.frame()).await;
    assert!(more.is_err(), "{more:?}");
    tokio::time::resume();
    log.write_all(b"two\n").unwrap();
    assert_eq!(frame(&mut body).await.unwrap(), "two\n");
}

#[tokio::test]
async fn a_launch_after_a_restore_does_not_write_into_the_log_of_one_that_the_copy_does_not_know() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    let log = |attempt, text: &str| {
        let file = plane.logs().path(id.parse().unwrap(), attempt);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    };
    // As the launches left them that came after the copy was made; the last one's log was rotated.
    log(3, "three\n");
    log(4, "four\n");
    let four = plane.logs().path(id.parse().unwrap(), 4);
    std::fs::rename(&four, four.with_extension("log.1")).unwrap();
    plane.settle_idle().await;
    assert_eq!(plane.runtime.launched()[0].attempt, 5);
    log(5, "five\n");
    let shown = plane.call("GET", &format!("/v1/endpoints/{id}/logs"), "").await;
    assert_eq!(shown.text, "five\n");
    // From here on the store knows, whatever is removed from the disk.
    plane.logs().forget(id.parse().unwrap()).unwrap();
    for state in ["STOPPED", "STARTED"] {
        plane.call("PATCH", &format!("/v1/endpoints/{id}"), &format!(r#"{{"state":"{state}"}}"#)).await;
        plane.settle_idle().await;
    }
    assert_eq!(plane.runtime.launched()[1].attempt, 6);
}

/// The next piece of a body that has not ended.
async fn frame(body: &mut axum::body::Body) -> Result<String, axum::Error> {
    let frame = tokio::time::timeout(Duration::from_secs(30), body.frame()).await.unwrap();
    let bytes = frame.expect("the body has ended")?.into_data().unwrap();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn followed_log_ends_when_its_key_is_revoked() {
    let plane = Plane::start().await;
    let id = plane.create("").await;
    plane.settle_idle().await;
    let file = plane.logs().path(id.parse().unwrap(), 1);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "one\n").unwrap();
    let key = plane.key("team", dedi_domain::Role::Viewer).await;
    let request = http::Request::get(format!("/v1/endpoints/{id}/logs?follow=true"))
        .header("authorization", format!("Bearer {key}"))
        .body(axum::body::Body::empty())
        .unwrap();
    let service = plane.control.router(plane.failures.clone());
    let response = tower::ServiceExt::oneshot(service, request).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one\n");
    let path = format!("/v1/keys/{}", key.split('_').nth(1).unwrap());
    assert_eq!(plane.call("DELETE", &path, "").await.status, StatusCode::NO_CONTENT);
    let rest = tokio::time::timeout(Duration::from_secs(5), async {
        let mut said = String::new();
        loop {
            match body.frame().await {
                Some(Ok(frame)) => said.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap())),
                Some(Err(_cut)) => return (said, true),
                None => return (said, false),
            }
        }
    });
    let (said, was_cut) = rest.await.expect("the log is followed on");
    assert!(was_cut, "nobody takes it for the end of the launch");
    assert!(said.contains("API key"), "{said}");
}

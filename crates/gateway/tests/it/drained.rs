//! Requests on a replica that is ended after it was drained: told so, by the gateway and not by what broke.

use std::time::Duration;

use dedi_domain::EndpointState;
use dedi_domain::route::Ending;

use crate::engine::{Engine, Step, chat_answer, says, short_stream, stream_head};
use crate::plane::{Plane, replica_id, route, table};

/// The first replica is ended; `left` are what the endpoint has besides.
fn ends_the_first(plane: &Plane, left: &[&Engine], stops_endpoint: bool) {
    let mut addresses = vec![dedi_domain::Address::Unix("/nowhere".into())];
    addresses.extend(left.iter().map(|it| it.address()));
    let mut route = route(&addresses);
    route.replicas.remove(0);
    if stops_endpoint {
        route.state = EndpointState::Stopping;
    }
    let mut table = table(2, vec![route]);
    table.ending.insert(replica_id(1), Ending { stops_endpoint, drain_timeout: Duration::from_secs(7) });
    plane.publish(table);
}

fn failures(plane: &Plane) -> String {
    let text = plane.metrics();
    text.lines().find(|it| it.starts_with("dedi_gateway_replica_failures_total")).unwrap().to_owned()
}

#[tokio::test]
async fn a_stream_ends_with_an_event_that_says_what_happened_and_blames_nobody() {
    // One engine goes on, the other is ended together with its table.
    for way in [vec![Step::UntilHangUp], vec![Step::Gate, Step::Cut]] {
        let engine = Engine::start([vec![stream_head(), says("Hi")], way].concat());
        let plane = Plane::with(&[&engine]).await;
        let mut client = plane.ask(true).await;
        client.until("Hi").await;
        let before = failures(&plane);
        ends_the_first(&plane, &[], true);
        engine.open_gate();
        let answer = client.answer().await;
        let last = answer.body.trim_end().rsplit("\n\n").next().unwrap();
        assert!(!answer.complete && !answer.body.contains("[DONE]"), "{}", answer.body);
        assert!(last.contains("\"code\":\"drain_timeout\""), "{last}");
        assert!(last.contains("The endpoint was stopped, and its requests had 7 s to finish"), "{last}");
        assert_eq!(failures(&plane), before);
        plane.until_load(|it| it.in_flight.is_empty()).await;
    }
}

#[tokio::test]
async fn a_request_that_got_nothing_is_told_or_answered_by_another_replica() {
    for streamed in [false, true] {
        let engine = Engine::start(vec![Step::UntilHangUp]);
        let plane = Plane::with(&[&engine]).await;
        let client = plane.ask(streamed).await;
        engine.until_requests(1).await;
        ends_the_first(&plane, &[], true);
        let answer = client.answer().await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &"drain_timeout".into()));
        assert_eq!((answer.header("x-should-retry"), answer.header("retry-after")), (Some("false"), None));

        let engine = Engine::start(vec![Step::UntilHangUp]);
        let other = Engine::start(if streamed { short_stream() } else { chat_answer() });
        let plane = Plane::with(&[&engine]).await;
        let client = plane.ask(streamed).await;
        engine.until_requests(1).await;
        ends_the_first(&plane, &[&other], false);
        let answer = client.answer().await;
        assert_eq!((answer.status, other.requests().len()), (200, 1), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_whole_answer_that_had_begun_is_not_asked_for_again() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9999999\r\n\r\n{";
    // More than a socket holds: once all of it is written, the gateway has read the first bytes.
    let begun = Step::Raw([&head[..], &[b' '; 1 << 20]].concat());
    let engine = Engine::start(vec![begun, Step::Written, Step::UntilHangUp]);
    let other = Engine::start(chat_answer());
    let plane = Plane::with(&[&engine]).await;
    let client = plane.ask(false).await;
    engine.until_written().await;
    ends_the_first(&plane, &[&other], false);
    let answer = client.answer().await;
    let error = &answer.json()["error"];
    assert_eq!((answer.status, &error["code"]), (503, &"drain_timeout".into()), "{}", answer.body);
    assert!(error["message"].as_str().unwrap().starts_with("The replica that took the request was retired"));
    assert_eq!((answer.header("retry-after"), other.requests().len()), (Some("1"), 0));
}

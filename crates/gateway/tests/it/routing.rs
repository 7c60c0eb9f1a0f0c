//! Which replica gets a request, when it waits, and what the load report says about it.

use std::time::Instant;

use dedi_domain::route::Prospect;
use dedi_domain::{EndpointState, Timestamp};
use dedi_gateway::GatewayConfig;

use crate::engine::{Engine, Step, chat_answer, finishes, json, says, short_stream, stream_head};
use crate::plane::{NAME, Plane, chat_body, endpoint_id, key, replica_id, route, table};

#[tokio::test]
async fn a_replica_that_fails_before_its_first_byte_is_replaced_by_another() {
    let broken = [
        vec![Step::Cut],
        json("503 Service Unavailable", "{}"),
        json("500 Oops", "{}"),
        vec![stream_head(), Step::Cut],
    ];
    for way in broken {
        let (bad, good) = (Engine::start(way.clone()), Engine::start(short_stream()));
        let plane = Plane::with(&[&bad, &good]).await;
        for _ in 0..4 {
            let answer = plane.ask(true).await.answer().await;
            assert_eq!((answer.status, answer.complete), (200, true), "{way:?}: {}", answer.body);
        }
    }
    // With nobody else to ask it is an error at once.
    let bad = Engine::start(vec![Step::Cut]);
    let plane = Plane::with(&[&bad]).await;
    let answer = plane.ask(false).await.answer().await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (502, &"replica_failed".into()));
    assert_eq!(answer.header("x-should-retry"), Some("true"));
    assert_eq!(bad.requests().len(), 1);
}

#[tokio::test]
async fn a_replica_that_keeps_failing_is_avoided_but_never_the_last_one() {
    let (bad, good) = (Engine::start(vec![Step::Cut]), Engine::start(chat_answer()));
    let plane = Plane::with(&[&bad, &good]).await;
    for _ in 0..60 {
        assert_eq!(plane.ask(false).await.answer().await.status, 200);
    }
    assert_eq!(bad.requests().len(), 5);
    plane.publish(table(2, vec![route(&[bad.address()])]));
    plane.until_load(|it| it.routes_version == 2).await;
    assert_eq!(plane.ask(false).await.answer().await.status, 502);
    assert!(bad.requests().len() > 5);
}

#[tokio::test]
async fn unknown_and_foreign_are_the_same_and_a_bare_model_is_told_apart() {
    let engine = Engine::start(chat_answer());
    let plane = Plane::with(&[&engine]).await;
    let ask = async |key: &str, model: &str| {
        plane.send_as(key, "/v1/chat/completions", &chat_body(model, false)).await.answer().await
    };
    let id = endpoint_id(10).to_string();
    assert_eq!(ask(&key(1), &id).await.status, 200);
    assert_eq!(ask(&key(1), NAME).await.json()["model"], NAME);
    let strip = |answer: &crate::plane::Answer, model: &str| {
        let date = answer.header("date").unwrap_or_default().to_owned();
        let id = answer.header("x-request-id").unwrap();
        format!("{}\n{}", answer.head, answer.body)
            .replace(&date, "")
            .replace(id, "ID")
            .replace(model, "MODEL")
    };
    let unknown_id = endpoint_id(11).to_string();
    let foreign = ask(&key(3), &id).await;
    let unknown = ask(&key(3), &unknown_id).await;
    assert_eq!(foreign.status, 404);
    assert_eq!(foreign.json()["error"]["code"], "model_not_available");
    assert_eq!(strip(&foreign, &id), strip(&unknown, &unknown_id));
    let bare = ask(&key(1), "dedi/demo").await;
    assert_eq!((bare.status, &bare.json()["error"]["code"]), (400, &"model_not_available".into()));
}

#[tokio::test]
async fn an_endpoint_that_somebody_must_start_is_a_400_with_its_reason() {
    for state in [EndpointState::Stopped, EndpointState::Stopping, EndpointState::Error] {
        let mut stopped = route(&[]);
        (stopped.state, stopped.reason) = (state, "no request for 60 minutes".to_owned());
        stopped.prospect = Prospect::Halted;
        let plane = Plane::start(GatewayConfig::default(), vec![stopped]).await;
        let answer = plane.ask(true).await.answer().await;
        assert_eq!((answer.status, answer.header("x-should-retry")), (400, Some("false")));
        let error = &answer.json()["error"];
        assert_eq!(error["code"], "dedicated_endpoint_not_running");
        assert_eq!(
            error["message"],
            format!(
                "The dedicated endpoint for {NAME} is not running. It is {state}: no request for 60 minutes"
            )
        );
    }
}

#[tokio::test]
async fn a_request_is_routed_by_the_newest_table_there_is() {
    let engine = Engine::start(chat_answer());
    let plane = Plane::with(&[&engine]).await;
    for version in 1..20 {
        // Whoever published it may have told a client already: it holds at once, not when it has been installed.
        let mut stopped = route(&[]);
        (stopped.state, stopped.prospect) = (EndpointState::Stopping, Prospect::Halted);
        plane.publish(table(2 * version, vec![stopped]));
        assert_eq!(plane.ask(false).await.answer().await.status, 400);
        plane.publish(table(2 * version + 1, vec![route(&[engine.address()])]));
        assert_eq!(plane.ask(false).await.answer().await.status, 200);
    }
}

#[tokio::test]
async fn a_request_wakes_a_sleeping_endpoint_and_is_answered_when_it_is_up() {
    let engine = Engine::start(short_stream());
    let mut asleep = route(&[]);
    asleep.wakes_on_request = true;
    let plane = Plane::start(GatewayConfig::default(), vec![asleep.clone()]).await;
    let client = plane.ask(true).await;
    plane
        .until_load(|it| {
            it.endpoints.get(&endpoint_id(10)).is_some_and(|e| e.waiting == 1 && e.in_flight == 0)
        })
        .await;
    asleep.state = EndpointState::Starting;
    plane.publish(table(2, vec![asleep]));
    let mut awake = route(&[engine.address()]);
    awake.wakes_on_request = true;
    plane.publish(table(3, vec![awake]));
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.complete), (200, true));
    let load = plane
        .until_load(|it| it.endpoints.get(&endpoint_id(10)).is_some_and(|it| it.last_finished_at.is_some()))
        .await;
    assert_eq!(load.endpoints[&endpoint_id(10)].waiting, 0);
}

#[tokio::test]
async fn waiting_ends_with_a_503_that_says_when_to_come_back() {
    // Also for a stream whose status would have been sent long before.
    let config = GatewayConfig { cold_start_wait_ms: 50, stream_head_wait_ms: 5, ..GatewayConfig::default() };
    for (wakes, code) in [(true, "cold_start"), (false, "dedicated_endpoint_starting")] {
        let mut asleep = route(&[]);
        (asleep.wakes_on_request, asleep.reason) = (wakes, "loading, 40 %".to_owned());
        let plane = Plane::start(config.clone(), vec![asleep]).await;
        let answer = plane.ask(true).await.answer().await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &code.into()));
        assert!(answer.header("retry-after-ms").is_some() && answer.header("x-should-retry").is_none());
        assert!(answer.body.contains("loading, 40 %"), "{}", answer.body);
        plane.until_load(|it| it.endpoints.get(&endpoint_id(10)).is_some_and(|it| it.waiting == 0)).await;
    }
}

#[tokio::test]
async fn one_that_waits_hears_at_once_that_the_endpoint_was_stopped() {
    let mut asleep = route(&[]);
    asleep.wakes_on_request = true;
    let plane = Plane::start(GatewayConfig::default(), vec![asleep.clone()]).await;
    let client = plane.ask(false).await;
    plane.until_load(|it| it.endpoints.get(&endpoint_id(10)).is_some_and(|e| e.waiting == 1)).await;
    (asleep.state, asleep.prospect) = (EndpointState::Stopping, Prospect::Halted);
    plane.publish(table(2, vec![asleep]));
    assert_eq!(client.answer().await.status, 400);
}

#[tokio::test]
async fn a_report_of_a_version_proves_that_the_replica_gets_nothing_new_and_shows_what_it_still_has() {
    let old = Engine::start([vec![stream_head(), says("Hi"), Step::Gate], finishes()].concat());
    let new = Engine::start(short_stream());
    let plane = Plane::with(&[&old]).await;
    let mut client = plane.ask(true).await;
    client.until("Hi").await;
    let mut next = route(&[new.address()]);
    next.replicas[0].id = replica_id(2);
    plane.publish(table(2, vec![next]));
    let report = plane.until_load(|it| it.routes_version == 2).await;
    assert_eq!(report.in_flight.get(&replica_id(1)), Some(&1));
    for _ in 0..20 {
        assert!(plane.ask(true).await.answer().await.complete);
    }
    assert_eq!((old.requests().len(), new.requests().len()), (1, 20));
    old.open_gate();
    assert!(client.answer().await.complete);
    plane.until_load(|it| !it.in_flight.contains_key(&replica_id(1))).await;
}

#[tokio::test]
async fn waiting_a_request_is_held_while_a_replica_is_on_its_way_and_released_at_once() {
    for state in [EndpointState::Pending, EndpointState::Starting, EndpointState::Started] {
        let mut coming = route(&[]);
        coming.state = state;
        let engine = Engine::start(chat_answer());
        let plane = Plane::start(GatewayConfig::default(), vec![coming]).await;
        let client = plane.ask(false).await;
        plane.until_load(|it| it.endpoints.get(&endpoint_id(10)).is_some_and(|e| e.waiting == 1)).await;
        let begun = Instant::now();
        plane.publish(table(2, vec![route(&[engine.address()])]));
        assert_eq!(client.answer().await.status, 200, "{state}");
        assert!(begun.elapsed().as_secs() < 5, "{state}");
    }
}

#[tokio::test]
async fn waiting_what_is_too_far_off_is_answered_at_once_with_the_time() {
    let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    for (prospect, at_least, at_most) in
        [(Prospect::NotBefore(Timestamp(now + 120_000)), 110, 120), (Prospect::Blocked, 30, 30)]
    {
        let mut later = route(&[]);
        (later.state, later.prospect) = (EndpointState::Pending, prospect);
        "the last attempt failed; the next one waits".clone_into(&mut later.reason);
        let plane = Plane::start(GatewayConfig::default(), vec![later]).await;
        let answer = plane.ask(true).await.answer().await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (503, &"dedicated_endpoint_starting".into())
        );
        let told: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((at_least..=at_most).contains(&told), "{prospect:?}: {told}");
        assert!(answer.header("x-should-retry").is_none());
        assert!(answer.body.contains("the next one waits") && answer.body.contains(NAME), "{}", answer.body);
    }
}

#[tokio::test]
async fn waiting_a_request_outlives_the_end_of_the_last_replica() {
    let (dead, next) = (Engine::start(chat_answer()), Engine::start(chat_answer()));
    let address = dead.address();
    let plane = Plane::with(&[&dead]).await;
    drop(dead);
    // The table does not know it yet.
    let clients = [plane.ask(false).await, plane.ask(false).await];
    plane.until_load(|it| it.endpoints.get(&endpoint_id(10)).is_some_and(|e| e.waiting == 2)).await;
    let mut starting = route(&[]);
    starting.state = EndpointState::Starting;
    plane.publish(table(2, vec![starting]));
    let mut ready = route(&[next.address()]);
    ready.replicas[0].id = replica_id(2);
    plane.publish(table(3, vec![ready]));
    for client in clients {
        assert_eq!(client.answer().await.status, 200, "{address:?}");
    }
}

#[tokio::test]
async fn waiting_ends_with_its_limit_however_it_is_made_up() {
    let config = GatewayConfig { cold_start_wait_ms: 3_000, ..GatewayConfig::default() };
    let mut starting = route(&[]);
    starting.state = EndpointState::Starting;
    let plane = Plane::start(config, vec![starting]).await;
    let begun = Instant::now();
    let client = plane.ask(false).await;
    // Most of it for a replica to come; the rest for one that can't be reached.
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    let gone = Engine::start(chat_answer());
    let address = gone.address();
    drop(gone);
    plane.publish(table(2, vec![route(&[address])]));
    let answer = client.answer().await;
    assert!([502, 503].contains(&answer.status), "{}", answer.body);
    assert!(begun.elapsed().as_millis() < 5_000, "two waits of 3 s: {:?}", begun.elapsed());
}

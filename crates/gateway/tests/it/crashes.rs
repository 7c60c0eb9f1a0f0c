//! What becomes of requests whose replica ends while it has them: none ends a second one by itself.

use crate::engine::{BOUND, Engine, Step, chat_answer};
use crate::plane::{Answer, NAME, Plane, chat_body, key, replica_id, route, table};

const CHAT: &str = "/v1/chat/completions";

/// An engine that keeps what it gets.
fn keeps() -> Engine {
    Engine::start(vec![Step::Gate])
}

/// Sends a chat and ends the replica that it is on; the answer, and how many requests the others were sent.
async fn ends_its_replica(plane: &Plane, engines: &mut Vec<Engine>) -> (Answer, usize) {
    let client = plane.ask(false).await;
    let taken = async {
        loop {
            if let Some(at) = engines.iter().position(|it| !it.requests().is_empty()) {
                return at;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let at = tokio::time::timeout(BOUND, taken).await.expect("a replica gets it");
    drop(engines.remove(at));
    let answer = client.answer().await;
    (answer, engines.iter().map(|it| it.requests().len()).sum())
}

#[tokio::test]
async fn crash_a_request_alone_on_a_replica_that_dies_is_sent_to_no_other() {
    let mut engines = vec![keeps(), keeps(), keeps()];
    let plane = Plane::with(&engines.iter().collect::<Vec<_>>()).await;
    let (answer, n_others) = ends_its_replica(&plane, &mut engines).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (502, &"replica_failed".into()));
    assert_eq!((answer.header("x-should-retry"), n_others), (Some("false"), 0));
    assert!(answer.body.contains("crashed"), "{}", answer.body);
}

#[tokio::test]
async fn crash_the_key_that_has_two_is_slowed_and_no_other_is() {
    let mut engines = vec![keeps(), keeps(), keeps()];
    let plane = Plane::with(&engines.iter().collect::<Vec<_>>()).await;
    for left in [2, 1] {
        let (answer, _) = ends_its_replica(&plane, &mut engines).await;
        assert_eq!((answer.status, engines.len()), (502, left));
    }
    let good = Engine::start(chat_answer());
    plane.publish(table(2, vec![route(&[good.address()])]));
    let slowed = plane.ask(false).await.answer().await;
    assert_eq!((slowed.status, &slowed.json()["error"]["code"]), (429, &"key_slowed".into()));
    let secs: u64 = slowed.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=5).contains(&secs), "{secs}");
    // What is wrong by itself is said, and spends nothing.
    let wrong = chat_body(NAME, false).replacen('{', r#"{"temperature":9,"#, 1);
    let wrong = plane.send_as(&key(1), CHAT, &wrong).await.answer().await;
    assert_eq!((wrong.status, &wrong.json()["error"]["param"]), (400, &"temperature".into()));
    let other = plane.send_as(&key(4), CHAT, &chat_body(NAME, false)).await.answer().await;
    assert_eq!(other.status, 200, "{}", other.body);
    assert_eq!(good.requests().len(), 1);
}

#[tokio::test]
async fn crash_of_several_on_it_each_gets_one_more_chance_but_never_on_the_last_replica() {
    for (n_others, statuses) in [(2, [200, 200]), (1, [502, 502])] {
        let dies = keeps();
        let plane = Plane::with(&[&dies]).await;
        let clients = [plane.ask(false).await, plane.ask(false).await];
        dies.until_requests(2).await;
        let others: Vec<Engine> = (0..n_others).map(|_| Engine::start(chat_answer())).collect();
        let addresses = std::iter::once(dies.address()).chain(others.iter().map(Engine::address));
        plane.publish(table(2, vec![route(&addresses.collect::<Vec<_>>())]));
        plane.until_load(|it| it.routes_version == 2).await;
        drop(dies);
        for (client, status) in clients.into_iter().zip(statuses) {
            let answer = client.answer().await;
            assert_eq!(answer.status, status, "{}", answer.body);
            if status == 502 {
                assert_eq!(answer.header("x-should-retry"), Some("true"));
            }
        }
        let n_sent: usize = others.iter().map(|it| it.requests().len()).sum();
        assert_eq!(n_sent, if n_others == 2 { 2 } else { 0 });
    }
}

#[tokio::test]
async fn crash_what_was_never_sent_is_sent_to_whoever_is_left() {
    let (dead, good) = (keeps(), Engine::start(chat_answer()));
    let plane = Plane::with(&[&dead, &good]).await;
    drop(dead);
    for _ in 0..10 {
        assert_eq!(plane.ask(false).await.answer().await.status, 200);
    }
    assert_eq!(good.requests().len(), 10);
}

#[tokio::test]
async fn crash_of_a_replica_that_many_keys_are_on_is_laid_to_none_of_them() {
    let mut good = None;
    let plane = Plane::with(&[&keeps()]).await;
    for version in [2, 4] {
        let dies = keeps();
        let of = |id: u64, engine: &Engine| {
            let mut route = route(&[engine.address()]);
            route.replicas[0].id = replica_id(id.into());
            table(id, vec![route])
        };
        plane.publish(of(version, &dies));
        let mut clients = Vec::new();
        for key_number in [1, 1, 4] {
            clients.push(plane.send_as(&key(key_number), CHAT, &chat_body(NAME, false)).await);
        }
        dies.until_requests(3).await;
        let next = Engine::start(chat_answer());
        drop(dies);
        plane.publish(of(version + 1, &next));
        for client in clients {
            client.answer().await;
        }
        good = Some(next);
    }
    let answer = plane.ask(false).await.answer().await;
    assert_eq!(answer.status, 200, "with two or fewer it would be 429: {}", answer.body);
    drop(good);
}
